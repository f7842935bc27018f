"""A tiny encoder and in-memory data with the duck type of ImageData."""

import dataclasses
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.types import Encoded


class TinyEncoder(nnx.Module):
  """A fixed linear map of flattened pixels; the identity where embed_dim is None."""

  def __init__(self, size: int, *, embed_dim: int | None = None, rngs: nnx.Rngs):
    self.embed_dim = embed_dim or size
    self.linear = nnx.Linear(size, self.embed_dim, rngs=rngs)
    self.calls = 0
    if embed_dim is None:
      self.linear.kernel.set_value(jnp.eye(size))

  def inputs(self, batch):
    return batch["image"]

  def __call__(self, inputs, *, keep=None, deterministic=True, rngs=None) -> Encoded:
    x = jnp.asarray(inputs, jnp.float32).reshape(len(inputs), -1) / 255.0
    x = self.linear(x)
    return Encoded(x[:, None], x, jnp.ones((len(x), 1), bool))


class Classifier(nnx.Module):
  """An encoder and its head, as the Classification objective makes them."""

  def __init__(self, size: int, num_classes: int, *, rngs: nnx.Rngs):
    self.encoder = TinyEncoder(size, rngs=rngs)
    self.head = nnx.Linear(size, num_classes, rngs=rngs)


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayData:
  """Arrays as a dataset; batches are padded to one size."""

  images: np.ndarray = dataclasses.field(repr=False)
  labels: np.ndarray | None = dataclasses.field(repr=False)
  num_classes: int
  split: str = "train"
  batch_size: int = 16
  passes: list = dataclasses.field(default_factory=list, repr=False)

  @property
  def num_examples(self) -> int:
    return len(self.images)

  @property
  def arrays_with_views(self) -> tuple[str, ...]:
    return ("image",) if self.images.ndim == 5 else ()

  @property
  def class_names(self) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(self.num_classes))

  def one_pass(self) -> Iterator[dict[str, np.ndarray]]:
    self.passes.append(1)
    for start in range(0, self.num_examples, self.batch_size):
      rows = np.arange(start, start + self.batch_size)
      valid = rows < self.num_examples
      rows = np.minimum(rows, self.num_examples - 1)
      batch = {"image": self.images[rows], "valid": valid}
      if self.labels is not None:
        batch["label"] = self.labels[rows]
      yield batch


def blobs(
  count: int, *, num_classes: int = 7, size: int = 12, seed: int = 0, split: str = "train"
) -> ArrayData:
  """Noisy images around one random image a class, the same classes for every seed."""
  centres = np.random.default_rng(99).uniform(60, 190, (num_classes, size))
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, num_classes, count).astype(np.int32)
  pixels = centres[labels] + rng.normal(0, 45, (count, size))
  images = pixels.clip(0, 255).astype(np.uint8).reshape(count, 1, size, 1)
  return ArrayData(images, labels, num_classes, split)


def pixels(data: ArrayData) -> np.ndarray:
  """What the identity TinyEncoder makes of the images, in float64."""
  return data.images.reshape(len(data.images), -1).astype(np.float64) / 255.0


def identity(size: int = 12) -> TinyEncoder:
  return TinyEncoder(size, rngs=nnx.Rngs(0))
