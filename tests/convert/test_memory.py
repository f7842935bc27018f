"""Memory that JAX takes over, and matrices that are turned on their way into it."""

import numpy as np
import pytest

from pretrainjax.convert.memory import aligned, contiguous, fill


def is_aligned(array: np.ndarray) -> bool:
  return array.size == 0 or array.ctypes.data % 64 == 0 and array.flags.c_contiguous


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (2, 3, 5)])
def test_memory_is_aligned(shape):
  made = aligned(shape, np.float32)
  assert made.shape == shape and made.dtype == np.float32 and is_aligned(made)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(3, 5), (300, 200), (1, 40_000), (7, 3, 130)])
def test_values_are_written_however_they_lie(shape, dtype):
  values = np.random.default_rng(0).normal(size=shape, scale=99).astype(dtype)
  for laid in (values, values.T.copy().T, np.repeat(values, 2, axis=0)[::2], values[::-1]):
    place = aligned(shape, dtype)
    fill(place, laid)
    np.testing.assert_array_equal(place, laid)
    np.testing.assert_array_equal(contiguous(laid), laid)
    assert contiguous(laid).flags.c_contiguous


def test_a_part_of_a_fused_matrix_is_turned_into_a_layer_of_a_stack():
  fused = np.random.default_rng(0).normal(size=(600, 200)).astype(np.float32)
  stack = aligned((2, 200, 300), np.float32)
  for layer in range(2):
    fill(stack[layer], np.split(fused, 2)[layer].T)
  np.testing.assert_array_equal(stack, [fused[:300].T, fused[300:].T])


def test_memory_that_is_right_already_is_not_copied():
  values = aligned((3, 4), np.float32)
  assert contiguous(values) is values
  shifted = aligned((4, 4), np.float32).reshape(-1)[1:13].reshape(3, 4)
  assert contiguous(shifted) is not shifted and is_aligned(contiguous(shifted))
