import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.product_quantizer import ProductQuantizer

SIZES = {"in_dim": 4, "embed_dim": 5, "num_groups": 2, "num_codes": 3, "code_dim": 6, "out_dim": 7}


@pytest.fixture(scope="module")
def quantizer():
  return ProductQuantizer(**SIZES, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def features():
  return jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 4)), jnp.float32)


def test_the_highest_score_of_each_codebook_is_chosen(quantizer, features):
  found = quantizer(features)
  assert found.codes.shape == (2, 9, 7) and found.probabilities.shape == (2, 9, 2, 3)
  best = np.argmax(found.probabilities, axis=-1)
  books = quantizer.codebooks[...].reshape(2, 3, 3)
  entries = jnp.concatenate([books[g][best[..., g]] for g in range(2)], axis=-1)
  np.testing.assert_allclose(found.codes, quantizer.project_code(entries), atol=1e-5)
  np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=1e-6)
  assert quantizer.compared(jnp.ones((2, 9, 5))).shape == (2, 9, 7)


def test_what_is_drawn_is_an_entry_and_has_a_gradient(quantizer, features):
  graphdef, state = nnx.split(quantizer)

  def total(state, temperature):
    module = nnx.merge(graphdef, state)
    return module(features, temperature=temperature, rngs=nnx.Rngs(1)).codes.sum()

  for temperature in (2.0, None):
    gradient = jax.grad(total)(state, temperature)["scores"]["kernel"][...]
    assert np.isfinite(gradient).all() and np.any(gradient != 0) == (temperature is not None)
  drawn = quantizer(features, temperature=0.5, rngs=nnx.Rngs(1)).codes
  books = quantizer.codebooks[...].reshape(2, 3, 3)
  pairs = [jnp.concatenate([a, b]) for a in books[0] for b in books[1]]
  possible = quantizer.project_code(jnp.stack(pairs))
  distance = jnp.abs(drawn[:, :, None] - possible[None, None]).max(-1).min(-1)
  assert distance.max() < 1e-4


def test_what_does_not_fit_is_refused(quantizer, features):
  with pytest.raises(ValueError, match="num_groups=4: expected a divisor of code_dim=6"):
    ProductQuantizer(**SIZES | {"num_groups": 4}, rngs=nnx.Rngs(0))
  with pytest.raises(ValueError, match="temperature: entries that are drawn need rngs"):
    quantizer(features, temperature=1.0)
