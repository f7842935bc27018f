"""Memory of arrays that are read tensor by tensor: touched once, and handed to JAX as it is."""

import math
from typing import Any

import numpy as np

_ALIGNMENT = 64
# Numbers from which a transposition in blocks is worth a call.
_LARGE = 1 << 14


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
  """An array without values whose memory JAX can take over on a CPU, where it copies others."""
  size = math.prod(shape) * np.dtype(dtype).itemsize
  memory = np.empty(size + _ALIGNMENT, np.uint8)
  start = -memory.ctypes.data % _ALIGNMENT
  return memory[start : start + size].view(dtype).reshape(shape)


def contiguous(values: np.ndarray) -> np.ndarray:
  """The values in order in memory that JAX can take over; themselves where they are so already."""
  if values.flags.c_contiguous and values.ctypes.data % _ALIGNMENT == 0:
    return values
  made = aligned(values.shape, values.dtype)
  fill(made, values)
  return made


def fill(place: np.ndarray, values: np.ndarray) -> None:
  """Writes values into an array of their shape.

  NumPy reads a transposed matrix number by number, a cache line for each; OpenCV goes by blocks.

  Args:
    place: the array, contiguous.
    values: the values, often a transposed view of what was read.
  """
  turned = values.T
  is_turned = values.ndim == 2 and turned.flags.c_contiguous and values.size >= _LARGE
  if is_turned and place.dtype == values.dtype == np.float32:
    import cv2  # what only trains needs none of it

    cv2.transpose(turned, dst=place)
    return
  place[...] = values
