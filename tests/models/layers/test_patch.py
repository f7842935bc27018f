import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.patch import PatchEmbed, grid_size, patchify, unpatchify

IMAGES = np.arange(2 * 6 * 9 * 2).reshape(2, 6, 9, 2)


def test_patches_lie_row_by_row():
  patches = patchify(IMAGES, 3)
  assert patches.shape == (2, 6, 18)
  np.testing.assert_array_equal(patches[1, 4], IMAGES[1, 3:6, 3:6].reshape(-1))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_unpatchify_undoes_patchify(dtype):
  images = IMAGES.astype(dtype)
  again = unpatchify(patchify(images, 3), 3, (2, 3))
  assert again.dtype == dtype
  np.testing.assert_array_equal(again, images)


def test_sizes_are_checked():
  with pytest.raises(ValueError, match="patch_size=4: expected a divisor of image_size=30 x 28"):
    grid_size((30, 28), 4)
  with pytest.raises(ValueError, match="grid=2 x 2: found 6 patches"):
    unpatchify(jnp.zeros((1, 6, 18)), 3, (2, 2))


def test_patch_embed_is_a_strided_convolution():
  layer = PatchEmbed(patch_dim=18, embed_dim=5, rngs=nnx.Rngs(0))
  conv = nnx.Conv(2, 5, (3, 3), strides=3, padding="VALID", rngs=nnx.Rngs(1))
  conv.kernel[...] = layer.kernel[...].reshape(3, 3, 2, 5)
  images = jnp.asarray(IMAGES / 100, jnp.float32)
  expected = conv(images).reshape(2, 6, 5)
  np.testing.assert_allclose(layer(patchify(images, 3)), expected, rtol=1e-4, atol=1e-4)
