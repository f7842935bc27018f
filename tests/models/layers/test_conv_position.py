import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.conv_position import ConvPosition, grouped_convolution
from pretrainjax.models.layers.frames import Frames

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size, length", [(8, 21), (7, 21), (30, 5), (1, 3)])
def test_transforms_give_what_the_convolution_gives_and_its_gradients(size, length):
  x = jnp.asarray(RNG.normal(size=(2, length, 12)), jnp.float32)
  kernel = jnp.asarray(RNG.normal(size=(size, 4, 12)), jnp.float32)
  weight = jnp.asarray(RNG.normal(size=(2, length, 12)), jnp.float32)

  def loss(x, kernel, by_transform):
    y = grouped_convolution(x, kernel, groups=3, by_transform=by_transform)
    return jnp.sum(y * weight), y

  found, expected = (
    jax.value_and_grad(lambda *a, b=b: loss(*a, b), argnums=(0, 1), has_aux=True)(x, kernel)
    for b in (True, False)
  )
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, expected)


def test_the_scale_is_the_length_of_each_place_of_the_kernel():
  layer = ConvPosition(embed_dim=6, size=4, groups=2, rngs=nnx.Rngs(0))
  frames = Frames(jnp.asarray(RNG.normal(size=(1, 9, 6)), jnp.float32), jnp.ones((1, 9), bool))
  before = layer(frames)
  layer.kernel[...] *= jnp.arange(1.0, 5.0).reshape(-1, 1, 1)
  np.testing.assert_allclose(layer(frames), before, atol=1e-5)
  layer.scale[...] *= 2
  assert not np.allclose(layer(frames), before)
