import functools

import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import electra
from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.masked.electra import Electra
from pretrainjax.objectives.split import split


@pytest.fixture(scope="module")
def params():
  sizes = {"vocab_size": 11, "max_length": 7, "num_layers": 2, "embedding_dim": 4}
  objective = Electra(
    backbone=functools.partial(BERT, **sizes, embed_dim=6, num_heads=2, mlp_dim=10),
    generator=functools.partial(BERT, **sizes, embed_dim=2, num_heads=1, mlp_dim=5),
    head=functools.partial(MaskedLMHead, embed_dim=2, embedding_dim=4, vocab_size=11),
    detector=functools.partial(
      Head, in_dim=6, num_classes=1, hidden_dim=6, activation="gelu", init_std=0.02
    ),
  )
  found = split(objective.init(rngs=nnx.Rngs(0)))[1]
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), found)


def test_both_models_go_there_and_back(params):
  theirs = electra.discriminator_to_hf(params), electra.generator_to_hf(params)
  back = electra.from_hf(discriminator=theirs[0], generator=theirs[1])
  jax.tree.map(np.testing.assert_array_equal, back, params)
  alone = electra.encoder_from_hf(electra.encoder_to_hf(params["encoder"]))
  jax.tree.map(np.testing.assert_array_equal, alone, params["encoder"])


def test_the_generator_takes_the_discriminators_tables_along(params):
  generator, discriminator = electra.generator_to_hf(params), electra.discriminator_to_hf(params)
  name = "electra.embeddings.word_embeddings.weight"
  np.testing.assert_array_equal(generator[name], discriminator[name])
  np.testing.assert_array_equal(generator[name], params["encoder"]["token_embedding"])


def test_refuses_what_does_not_fit(params):
  discriminator, generator = electra.discriminator_to_hf(params), electra.generator_to_hf(params)
  with pytest.raises(UserError, match="unknown tensors electra.extra"):
    electra.discriminator_from_hf(discriminator | {"electra.extra": np.zeros(1)})
  other = generator | {"electra.embeddings.word_embeddings.weight": np.zeros((11, 4))}
  with pytest.raises(UserError, match="token_embedding of generator and discriminator differ"):
    electra.from_hf(discriminator=discriminator, generator=other)
