import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import roberta
from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.split import split

SIZES = {"vocab_size": 11, "max_length": 7, "embed_dim": 6, "num_layers": 3, "num_heads": 2}


@pytest.fixture(scope="module")
def params():
  rngs = nnx.Rngs(0)
  encoder = BERT(**SIZES, mlp_dim=10, num_types=1, rngs=rngs)
  found = split(Towers(encoder=encoder, head=MaskedLMHead(embed_dim=6, vocab_size=11, rngs=rngs)))[
    1
  ]
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), found)


def test_both_directions_are_inverse(params):
  back = roberta.from_hf(roberta.to_hf(params))
  jax.tree.map(np.testing.assert_array_equal, back, params)
  alone = roberta.encoder_from_hf(roberta.encoder_to_hf(params["encoder"]))
  jax.tree.map(np.testing.assert_array_equal, alone, params["encoder"])


def test_their_positions_begin_two_rows_later(params):
  tensors = roberta.to_hf(params)
  table = tensors["roberta.embeddings.position_embeddings.weight"]
  assert table.shape == (9, 6)
  np.testing.assert_array_equal(table[2:], params["encoder"]["position_table"])


def test_refuses_what_does_not_fit(params):
  tensors = roberta.to_hf(params)
  with pytest.raises(UserError, match="unknown tensors roberta.extra"):
    roberta.from_hf(tensors | {"roberta.extra": np.zeros(1)})
