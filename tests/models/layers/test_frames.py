import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.frames import (
  Convolution,
  Frames,
  as_float,
  num_windows,
  real_frames,
  windows,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size, stride", [(3, 2), (10, 5), (4, 6), (1, 1), (7, 7)])
def test_windows_are_those_of_a_loop(size, stride):
  x = jnp.asarray(RNG.normal(size=(2, 23, 3)), jnp.float32)
  found = windows(x, size=size, stride=stride)
  starts = range(0, 23 - size + 1, stride)
  expected = np.stack([x[:, s : s + size].reshape(2, -1) for s in starts], axis=1)
  np.testing.assert_array_equal(found, expected)
  assert found.shape[1] == num_windows(23, size=size, stride=stride)
  counted = num_windows(jnp.array([23, 0]), size=size, stride=stride)
  assert counted.tolist() == [found.shape[1], 0]


def test_too_few_frames_are_refused():
  with pytest.raises(ValueError, match="size=4: found 3 frames"):
    windows(jnp.zeros((1, 3, 1)), size=4, stride=1)


@pytest.mark.parametrize("size, stride, padding", [(3, 2, 1), (3, 1, 1), (10, 5, 0), (2, 2, 0)])
def test_a_convolution_is_that_of_jax(size, stride, padding):
  layer = Convolution(
    in_dim=3, out_dim=4, size=size, stride=stride, padding=padding, rngs=nnx.Rngs(0)
  )
  layer.bias[...] = jnp.arange(4.0)
  x = jnp.asarray(RNG.normal(size=(2, 21, 3)), jnp.float32)
  found = layer(Frames(x, jnp.ones((2, 21), bool)))
  expected = jax.lax.conv_general_dilated(
    x,
    layer.kernel[...],
    (stride,),
    [(padding, padding)],
    dimension_numbers=("NWC", "WIO", "NWC"),
  )
  np.testing.assert_allclose(found.features, expected + np.arange(4)[None, None], atol=1e-5)
  assert found.valid.all()


@pytest.mark.parametrize("size, stride, padding", [(3, 2, 1), (10, 5, 0)])
def test_padding_changes_no_real_frame_of_a_convolution(size, stride, padding):
  layer = Convolution(
    in_dim=3, out_dim=4, size=size, stride=stride, padding=padding, rngs=nnx.Rngs(0)
  )
  x = jnp.asarray(RNG.normal(size=(1, 40, 3)), jnp.float32)
  padded = layer(Frames(x, real_frames(jnp.array([23]), 40)))
  alone = layer(Frames(x[:, :23], jnp.ones((1, 23), bool)))
  count = alone.features.shape[1]
  assert padded.valid.sum() == count and padded.valid[0, :count].all()
  np.testing.assert_allclose(padded.features[:, :count], alone.features, atol=1e-6)


def test_a_row_without_frames_has_none_after_a_convolution():
  layer = Convolution(in_dim=1, out_dim=1, size=3, padding=1, rngs=nnx.Rngs(0))
  assert not layer(Frames(jnp.ones((1, 5, 1)), jnp.zeros((1, 5), bool))).valid.any()


def test_samples_of_16_bits_are_floats_below_1():
  np.testing.assert_array_equal(as_float(np.array([[-32768, 16384]], np.int16)), [[-1.0, 0.5]])
  np.testing.assert_array_equal(as_float(np.array([[0.25]], np.float32)), [[0.25]])
