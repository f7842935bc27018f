"""Prepared datasets whose pictures say which record they are, for tests of the pipeline."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pretrainjax.prepare.image.builders import CollectedBuilder
from pretrainjax.prepare.image.collected import Collected, Entry

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

  tfds shuffles records as it writes, so that their order on disk is another one.

  Args:
    name: of the dataset.
    data_dir: where datasets lie.
    count: of records; one is `picture(first + i)`, of class i % 4, for each i < count.
    first: see there.
    corrupt: those i whose file is cut short.
    labels: whether there are classes.
  """

  def entry(split: str, i: int) -> Entry:
    label = i % NUM_CLASSES if labels else None
    return Entry(f"{split}/{i:05d}", picture(first + i), label, b"")

  splits = {"train": [entry("train", i) for i in range(count)]}
  splits["test"] = [entry("test", i) for i in range(5)]
  for i in corrupt:
    path = data_dir / f"{name}_{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture(first + i))[1].tobytes()[:30])
    splits["train"][i] = splits["train"][i]._replace(image=path)
  classes = tuple("abcd") if labels else ()
  write(name, data_dir, Collected(splits, classes, image_shape=(6, 6, 1), origin="a test"))


def write(name: str, data_dir: Path, collected: Collected) -> None:
  """Writes DATA_DIR/NAME as it was collected."""
  camel = "".join(part.capitalize() for part in name.split("_"))
  builder = type(camel, (CollectedBuilder,), {}, skip_registration=True)
  builder(collected=collected, data_dir=data_dir).download_and_prepare()
