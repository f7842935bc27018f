import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import bert
from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.split import split

SIZES = {"vocab_size": 11, "max_length": 7, "embed_dim": 6, "num_layers": 3, "num_heads": 2}


@pytest.fixture(scope="module")
def params():
  rngs = nnx.Rngs(0)
  encoder = BERT(**SIZES, mlp_dim=10, num_types=2, rngs=rngs)
  found = split(Towers(encoder=encoder, head=MaskedLMHead(embed_dim=6, vocab_size=11, rngs=rngs)))[
    1
  ]
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), found)


def test_both_directions_are_inverse(params):
  back = bert.from_hf(bert.to_hf(params))
  jax.tree.map(np.testing.assert_array_equal, back, params)
  alone = bert.encoder_from_hf(bert.encoder_to_hf(params["encoder"]))
  jax.tree.map(np.testing.assert_array_equal, alone, params["encoder"])


def test_published_files_hold_more_than_is_wanted(params):
  tensors = bert.to_hf(params)
  tensors["bert.pooler.dense.weight"] = np.zeros((6, 6), np.float32)
  tensors["cls.seq_relationship.bias"] = np.zeros(2, np.float32)
  tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
  jax.tree.map(np.testing.assert_array_equal, bert.from_hf(tensors), params)


def test_refuses_what_does_not_fit(params):
  tensors = bert.to_hf(params)
  untied = tensors | {"cls.predictions.decoder.weight": np.zeros((11, 6), np.float32)}
  with pytest.raises(UserError, match="cls.predictions.decoder.weight is not tied"):
    bert.from_hf(untied)
  name = "bert.encoder.layer.2.output.dense.bias"
  with pytest.raises(UserError, match=f"missing tensors {name}"):
    bert.from_hf({n: t for n, t in tensors.items() if n != name})


def test_a_pre_norm_model_has_no_place_there():
  encoder = BERT(**SIZES, mlp_dim=10, order="pre", rngs=nnx.Rngs(0))
  with pytest.raises(UserError, match="unknown parameters norm/bias, norm/scale"):
    bert.encoder_to_hf(split(encoder)[1])
