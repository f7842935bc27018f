"""Prepared datasets whose pictures say which record they are, for tests of the pipeline."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pretrainjax.prepare.contract import Corpus, Part
from pretrainjax.prepare.image.example import Image, png
from pretrainjax.prepare.image.preparation import ImagePreparation
from pretrainjax.prepare.job import Job, write_dataset

NUM_CLASSES = 4


def picture(index: int) -> np.ndarray:
  """The picture of a record, "6 6 1": a pixel per bit of its index, so that it can be told."""
  bits = (index >> np.arange(36)) & 1
  return (bits * 255).astype(np.uint8).reshape(6, 6, 1)


def index_of(image: np.ndarray) -> int:
  """The inverse of `picture`."""
  return int((image.reshape(-1) > 0) @ (1 << np.arange(36, dtype=np.int64)))


def prepare(
  name: str,
  data_dir: Path,
  *,
  count: int,
  first: int = 0,
  corrupt: Sequence[int] = (),
  labels: bool = True,
) -> None:
  """Writes DATA_DIR/NAME with a split "train" of `count` records and a "test" of 5.

  `prepare` shuffles records as it writes, so that their order on disk is another one.

  Args:
    name: of the dataset.
    data_dir: where datasets lie.
    count: of records; one is `picture(first + i)`, of class i % 4, for each i < count.
    first: see there.
    corrupt: those i whose file is cut short.
    labels: whether there are classes.
  """

  def image(split: str, i: int) -> Image:
    label = "abcd"[i % NUM_CLASSES] if labels else None
    data = png(picture(first + i))
    data = data[:30] if split == "train" and i in corrupt else data
    return Image(f"{split}/{i:05d}", data, label, split, (6, 6, 1), digest=None)

  counts = {"train": count, "test": 5}
  images = [image(split, i) for split, number in counts.items() for i in range(number)]
  write(name, data_dir, images, class_names=tuple("abcd") if labels else ())


@dataclasses.dataclass(frozen=True)
class InMemory:
  """A source of images that are there."""

  name: str
  corpus: Corpus

  preparation = ImagePreparation()

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields them."""
    yield self.corpus


def write(
  name: str, data_dir: Path, images: Sequence[Image], *, class_names: tuple[str, ...] = ()
) -> None:
  """Writes DATA_DIR/NAME with these images."""
  part = Part("all", len(images), lambda: iter(images))
  corpus = Corpus("a test", "", len(images), lambda: iter([part]), class_names=class_names)
  write_corpus(name, data_dir, corpus)


def write_corpus(name: str, data_dir: Path, corpus: Corpus) -> None:
  """Writes DATA_DIR/NAME with a corpus of images."""
  source = InMemory(name, corpus)
  write_dataset(Job(source, source.preparation), data_dir=data_dir, source_facts={"name": name})
