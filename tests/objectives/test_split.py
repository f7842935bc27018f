"""Modules to plain arrays and back."""

import jax
import jax.numpy as jnp
import numpy as np
import toy
from flax import nnx

from pretrainjax.objectives.split import abstract_split, split


def test_merge_is_the_inverse_and_names_are_plain():
  module = toy.Toy().init(rngs=nnx.Rngs(0))
  graphdef, params, extras = split(module)
  assert set(params) == {"encoder"} and set(params["encoder"]) == {"kernel", "bias"}
  assert set(extras) == {"mean"}
  for leaf in jax.tree.leaves((params, extras)):
    assert isinstance(leaf, jax.Array)
  again = nnx.merge(graphdef, params, extras)
  jax.tree.map(np.testing.assert_array_equal, split(again)[1:], (params, extras))
  x = np.ones((2, 4), np.float32)
  np.testing.assert_array_equal(again.encoder(x), module.encoder(x))


def test_merges_inside_of_jit():
  graphdef, params, extras = split(toy.Toy().init(rngs=nnx.Rngs(0)))

  @jax.jit
  def moved(params, extras):
    module = nnx.merge(graphdef, params, extras)
    module.mean[...] = module.mean[...] + 1.0
    return split(module)[1:]

  after_params, after_extras = moved(params, extras)
  jax.tree.map(np.testing.assert_array_equal, after_params, params)
  np.testing.assert_array_equal(after_extras["mean"], extras["mean"] + 1)


def test_abstract_has_the_same_form_and_computes_nothing():
  graphdef, params, extras = split(toy.Toy().init(rngs=nnx.Rngs(0)))
  shapes = abstract_split(toy.Toy())
  assert shapes[0] == graphdef
  describe = lambda tree: jax.tree.map(lambda x: (x.shape, jnp.dtype(x.dtype)), tree)  # noqa: E731
  assert describe(shapes[1:]) == describe((params, extras))
  assert not any(isinstance(x, jax.Array) for x in jax.tree.leaves(shapes[1:]))
