import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.lm_head import MaskedLMHead


def make(**changes):
  return MaskedLMHead(**{"embed_dim": 6, "vocab_size": 11, **changes}, rngs=nnx.Rngs(0))


def normal(*shape):
  return jnp.asarray(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def test_scores_are_those_of_the_transformed_against_the_table():
  head, table = make(embedding_dim=4), normal(11, 4)
  head.bias[...] = jnp.arange(11.0)
  hidden = normal(2, 3, 6)
  expected = np.asarray(head.transform(hidden)) @ np.asarray(table).T + np.arange(11)
  np.testing.assert_allclose(head(hidden, table), expected, atol=1e-5)
  np.testing.assert_allclose(head(hidden[:, 0], table), expected[:, 0], atol=1e-5)


def test_without_biases_only_the_scores_have_one():
  state = nnx.to_pure_dict(nnx.state(make(use_bias=False, norm="layer_scale"), nnx.Param))
  assert set(state) == {"dense", "norm", "bias"}
  assert set(state["dense"]) == {"kernel"} and set(state["norm"]) == {"scale"}


def test_scores_are_float32_whatever_the_computation():
  assert make(dtype="bfloat16")(normal(2, 6).astype(jnp.bfloat16), normal(11, 6)).dtype == "float32"


def test_the_table_is_no_parameter():
  assert all(x.shape != (11, 6) for x in nnx.to_flat_state(nnx.state(make())).leaves)


def test_mistakes_are_named():
  with pytest.raises(ValueError, match="vocab_size=0: expected at least 1"):
    make(vocab_size=0)
