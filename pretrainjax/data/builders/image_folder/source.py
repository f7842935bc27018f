"""A folder of images: ROOT/class/*.jpg, ROOT/train/class/*.jpg and ROOT/test/..., or unlabelled."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pretrainjax.data.builders.collected import (
  Collected,
  Dropped,
  Entry,
  pixel_digest,
  stratified_holdout,
)
from pretrainjax.data.image import decode
from pretrainjax.errors import UserError

SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .gif .tif .tiff .ppm .pgm".split())
_SPLITS = ("train", "validation", "val", "test")


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads every image below a folder.

  Attributes:
    root: the folder. Folders below it are classes; where all of them are named train, validation,
      val or test they are splits, and the classes lie in those. Images directly in it have none.
    name: of the dataset, in small letters, digits and underscores.
    test_fraction: of each class, held out by `seed` where the folder has no splits of its own.
    seed: of that choice.
    min_pixels: the shorter side of what is kept.
  """

  root: str
  name: str
  test_fraction: float = 0.1
  seed: int = 0
  min_pixels: int = 1

  def __post_init__(self):
    if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
      raise ValueError(f"name='{self.name}': expected small letters, digits and underscores")
    if not 0 <= self.test_fraction < 1:
      raise ValueError(f"test_fraction={self.test_fraction}: expected in [0, 1)")

  def collect(self) -> Collected:
    """Reads and checks every file.

    Raises:
      UserError: for a folder that is not there, or holds no image.
    """
    root = Path(self.root)
    if not root.is_dir():
      raise UserError(f"--source: '{root}' is no folder")
    dropped: list[Dropped] = []
    unreadable = 0
    found: dict[str, list[tuple[Entry, str]]] = {}
    channels = set()
    files = sorted(_files(root, dropped))
    for path in tqdm(files, desc="read", unit=" images", mininterval=0.5):
      split, class_name = _place(path.relative_to(root), self._has_splits(root))
      key = path.relative_to(root).as_posix()
      try:
        image = decode(path.read_bytes())
      except (OSError, ValueError, cv2.error) as error:
        unreadable += 1
        reason = "too large" if "pixels: more than" in str(error) else "not decodable"
        dropped.append(Dropped(key, reason))
        continue
      if min(image.shape[:2]) < self.min_pixels:
        dropped.append(Dropped(key, "too small"))
        continue
      channels.add(image.shape[2])
      entry = Entry(key, path, None, pixel_digest(image))
      found.setdefault(split, []).append((entry, class_name))
    if not found:
      raise UserError(
        f"--source: '{root}' holds no image that can be read ({len(dropped)} dropped)"
      )
    names = sorted({name for entries in found.values() for _, name in entries if name})
    return Collected(
      splits=self._split(found, names),
      class_names=tuple(names),
      image_shape=(None, None, 1 if channels == {1} else 3),
      origin=str(root),
      dropped=tuple(dropped),
      unreadable=unreadable,
    )

  def _has_splits(self, root: Path) -> bool:
    folders = [p.name for p in root.iterdir() if p.is_dir()]
    return bool(folders) and all(name in _SPLITS for name in folders)

  def _split(
    self, found: dict[str, list[tuple[Entry, str]]], names: list[str]
  ) -> dict[str, list[Entry]]:
    labels = {name: i for i, name in enumerate(names)}
    splits = {
      split: [entry._replace(label=labels.get(name)) for entry, name in found[split]]
      for split in _SPLITS
      if split in found
    }
    if list(splits) != ["train"] or not self.test_fraction:
      return splits
    entries = splits["train"]
    classes = np.asarray([-1 if e.label is None else e.label for e in entries])
    test = stratified_holdout(classes + 1, fraction=self.test_fraction, seed=self.seed)
    parts = {"train": ~test} | ({"test": test} if test.any() else {})
    return {name: [entries[i] for i in np.flatnonzero(rows)] for name, rows in parts.items()}


def _files(root: Path, dropped: list[Dropped]) -> Iterator[Path]:
  """Image files below `root`; links that lead out of it are dropped."""
  real = root.resolve()
  for path in root.rglob("*"):
    if path.suffix.lower() not in SUFFIXES:
      if path.is_file():
        dropped.append(Dropped(path.relative_to(root).as_posix(), "no image by its name"))
    elif not path.resolve().is_relative_to(real):
      dropped.append(Dropped(path.relative_to(root).as_posix(), "link out of the folder"))
    elif path.is_file():
      yield path


def _place(path: Path, has_splits: bool) -> tuple[str, str]:
  """Split and class of a file by its path; "" for no class."""
  *folders, _ = path.parts
  split = folders.pop(0) if has_splits and folders else "train"
  return {"val": "validation"}.get(split, split), folders[0] if folders else ""
