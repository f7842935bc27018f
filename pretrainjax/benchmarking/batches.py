"""Batches for measurements: their shapes, without any data, and batches of noise."""

from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from pretrainjax.config.text import flatten
from pretrainjax.data.image_data import ImageData
from pretrainjax.data.text_data import TextData
from pretrainjax.errors import UserError


def batch_shapes(data: Any, objective: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes and types of a training batch over all devices, by what the config says.

  No dataset is opened. What only some datasets have ("label", "tags", "score") is there in any
  case, since a program leaves out what it does not read; "types" of pairs are not.

  Args:
    data: built from config.data.
    objective: config.objective, which knows the channels of images.

  Raises:
    UserError: for data of an unknown kind.
  """
  rows = data.batch_size
  if isinstance(data, ImageData):
    image = (data.transform.size, data.transform.size, _first(objective, "num_channels", 3))
    views = () if data.views == 1 else (data.views,)
    found = {"image": ((rows, *views, *image), np.uint8)}
  elif isinstance(data, TextData):
    found = _text_shapes(data)
  else:
    raise UserError(
      f"--config.data: shapes are known of ImageData and TextData, found {type(data).__name__}"
    )
  found["label"] = ((rows,), np.int32)
  return {name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype) in found.items()}


def noise_batch(data: Any, objective: ConfigDict) -> dict[str, np.ndarray]:
  """A batch of noise of `batch_shapes`: random pixels or tokens in full rows, all of class 0."""
  rng = np.random.default_rng(0)
  vocab_size = _first(objective, "vocab_size", 2)
  batch = {}
  for name, spec in batch_shapes(data, objective).items():
    if name == "tokens":
      batch[name] = rng.integers(0, vocab_size, spec.shape, np.int32)
    elif name == "image":
      batch[name] = rng.integers(0, 256, spec.shape, np.uint8)
    elif name in ("segments", "starts", "scored"):
      batch[name] = np.ones(spec.shape, spec.dtype)
    else:
      batch[name] = np.zeros(spec.shape, spec.dtype)
  return batch


def _text_shapes(data: TextData) -> dict[str, tuple[tuple[int, ...], Any]]:
  rows, views = data.batch_size, 2 if data.pair == "views" else data.views
  shape = (rows, data.length) if views == 1 else (rows, views, data.length)
  found = {name: (shape, np.int32) for name in ("tokens", "segments", "tags")}
  found["score"] = ((rows,), np.float32)
  if data.word_starts:
    found["starts"] = (shape, np.bool_)
  if data.pair == "prompt":
    found["scored"] = (shape, np.bool_)
  return found


def _first(config: ConfigDict, name: str, default: int) -> int:
  """The first value of that name in a config, wherever it lies."""
  found = (value for key, value in flatten(config).items() if key.split(".")[-1] == name)
  return next(found, default)
