"""Folders of images as people have them, prepared by `prepare image_folder` in this process."""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pictures import smooth

from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.prepare.__main__ import main


class Prepared(NamedTuple):
  """What `prepare image_folder` said and wrote."""

  status: int
  out: str
  error: str
  folder: Path

  @property
  def report(self) -> dict:
    return json.loads((self.folder / "prepared.json").read_text())

  def keys(self, split: str) -> dict[str, str | None]:
    """Class by key."""
    source = PreparedSplit("x", split, self.folder.parents[1])
    records = source.records(range(len(source)))
    names = [source.label(r) for r in records]
    labels = [None if n is None else source.class_names[n] for n in names]
    keys = [r["filename"].bytes_list.value[0].decode() for r in records]
    return dict(zip(keys, labels, strict=True))

  def images(self, size: int = 8) -> np.ndarray:
    """All training images, "N size size C", in the order of their keys."""
    data = ImageData(
      datasets="x",
      data_dir=str(self.folder.parents[1]),
      batch_size=1,
      num_threads=1,
      transform=Resize(size),
    )
    batches = [batch["image"][0] for batch in data.one_pass()]
    order = np.argsort(list(self.keys("train")), kind="stable")
    return np.stack(batches)[order]


def prepare(tmp_path: Path, capsys, root: Path, *flags: str, max_dropped: float | None = None):
  """Prepares a folder, by flags alone."""
  data = tmp_path / f"data{len(list(tmp_path.glob('data*')))}"
  more = [] if max_dropped is None else [f"--config.max_dropped={max_dropped}"]
  arguments = ["image_folder", f"--source={root}", "--name=x", f"--data_dir={data}"]
  status = main([*arguments, *more, *flags])
  out, error = capsys.readouterr()
  return Prepared(status, out, error.strip().splitlines()[-1] if error else "", data / "x/1.0.0")


def draw(root: Path, *places: str) -> Path:
  """One small picture at each place, no two alike."""
  for number, place in enumerate(places):
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.roll(smooth(12, 12), number + 1, axis=1))
  return root


def tree(*folders: str, count: int = 2) -> list[str]:
  return [f"{folder}/{i}.png" for folder in folders for i in range(count)]
