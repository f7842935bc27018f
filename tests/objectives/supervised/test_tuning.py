import jax
import numpy as np
import pytest
from fake_texts import TinyText, random_texts, text_of
from flax import nnx

from pretrainjax.objectives.supervised.tuning import encode, trains


@pytest.mark.parametrize("tune", ["full", "linear"])
def test_a_fixed_encoder_is_the_one_of_evaluation(tune):
  inputs = text_of(random_texts(3))
  encoder = TinyText(rate=0.5, rngs=nnx.Rngs(0))
  encoded = encode(encoder, inputs, tune=tune, rngs=nnx.Rngs(1))
  assert (tune == "linear") == np.array_equal(encoded.pooled, encoder(inputs).pooled)
  graphdef, state = nnx.split(encoder)

  def total(state):
    encoder = nnx.merge(graphdef, state)
    return encode(encoder, inputs, tune=tune, rngs=nnx.Rngs(1)).pooled.sum()

  moves = any(g.any() for g in jax.tree.leaves(jax.grad(total)(state)))
  assert moves == (tune == "full") == trains(("encoder", "mix", "kernel"), tune=tune)
  assert trains(("head", "classifier", "kernel"), tune=tune)
