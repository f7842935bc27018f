import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.conformer_block import ConformerBlock, ConvolutionModule
from pretrainjax.models.layers.frames import Frames

RNG = np.random.default_rng(0)


def test_the_convolution_is_that_of_each_channel_by_itself():
  module = ConvolutionModule(embed_dim=4, size=3, eps=1e-5, rngs=nnx.Rngs(0))
  x = jnp.asarray(RNG.normal(size=(2, 7, 4)), jnp.float32)
  value, gate = jnp.split(module.expand(x), 2, axis=-1)
  gated = value * jax.nn.sigmoid(gate)
  expected = jax.lax.conv_general_dilated(
    gated,
    module.kernel[...][:, None],
    (1,),
    "SAME",
    feature_group_count=4,
    dimension_numbers=("NWC", "WIO", "NWC"),
  )
  expected = module.reduce(jax.nn.silu(module.norm(expected)))
  found = module(Frames(x, jnp.ones((2, 7), bool)))
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_dropout_needs_keys():
  block = ConformerBlock(
    embed_dim=4, num_heads=2, mlp_dim=6, conv_size=3, dropout=0.5, rngs=nnx.Rngs(0)
  )
  x = jnp.asarray(RNG.normal(size=(2, 7, 4)), jnp.float32)
  assert block.is_random
  with pytest.raises(ValueError, match="needs rngs"):
    block(x, deterministic=False)
  assert not np.allclose(block(x, deterministic=False, rngs=nnx.Rngs(0)), block(x))
