"""Batches for measurements: their shapes, without any data, and batches of noise."""

import jax
import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.text import flatten
from pretrainjax.data.field import ArrayShape
from pretrainjax.data.pipeline import Pipeline


def batch_shapes(data: Pipeline, objective: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes and types of a training batch over all devices, by what the config says.

  No dataset is opened. What only some datasets have ("label", "tags", "score") is there in any
  case, since a program leaves out what it does not read; "types" of pairs are not.

  Args:
    data: the data of the run, built from config.data.
    objective: the dict config.objective, which knows the channels of images.
  """
  rows, shapes = data.batch_size, _shapes(data, objective)
  return {name: jax.ShapeDtypeStruct((rows, *a.shape), a.dtype) for name, a in shapes.items()}


def noise_batch(data: Pipeline, objective: ConfigDict) -> dict[str, np.ndarray]:
  """A batch of noise of `batch_shapes`: random pixels or tokens in full rows, all of class 0."""
  rng = np.random.default_rng(0)
  batch = {}
  for name, array in _shapes(data, objective).items():
    shape = (data.batch_size, *array.shape)
    if array.high == array.low + 1:
      batch[name] = np.full(shape, array.low, array.dtype)
    else:
      batch[name] = rng.integers(array.low, array.high, shape, array.dtype)
  return batch


def _shapes(data: Pipeline, objective: ConfigDict) -> dict[str, ArrayShape]:
  """By the names of the objective's options, the first of each wherever it lies."""
  sizes: dict[str, int] = {}
  for key, value in flatten(objective).items():
    if isinstance(value, int):
      sizes.setdefault(key.split(".")[-1], value)
  return data.shapes(sizes)
