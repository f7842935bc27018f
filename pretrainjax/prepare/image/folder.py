"""A folder of images: ROOT/class/*.jpg, ROOT/train/class/*.jpg and ROOT/test/..., or unlabelled."""

import dataclasses
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from tqdm import tqdm

from pretrainjax.data.image import MAX_BYTES, decode
from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.image.collected import (
  Collected,
  Dropped,
  Entry,
  pixel_digest,
  stratified_holdout,
)
from pretrainjax.prepare.image.files import (
  CLOSED,
  SPLITS,
  has_splits,
  image_files,
  place,
)

_NOT_DECODABLE, _TOO_LARGE, _TOO_SMALL = "not decodable", "too large", "too small"
_AT_ONCE = 1024


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
    labels: "folders" takes classes from the folders, "none" leaves them out.
  """

  root: str
  name: str
  test_fraction: float = 0.1
  seed: int = 0
  min_pixels: int = 1
  labels: Literal["folders", "none"] = "folders"

  def __post_init__(self):
    if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
      raise ValueError(f"name='{self.name}': expected small letters, digits and underscores")
    if len(self.name) > 100:
      raise ValueError(f"name='{self.name}': expected at most 100 letters")
    if not 0 <= self.test_fraction < 1:
      raise ValueError(f"test_fraction={self.test_fraction}: expected in [0, 1)")

  def collect(self) -> Collected:
    """Reads and checks every file.

    Raises:
      UserError: for a folder that is not there, holds no image, or mixes images with and without
        a class.
    """
    root = Path(self.root)
    if not self.root or not os.path.isdir(root):  # Path's own raises for a name that is too long
      raise UserError(f"--source: '{self.root}' is no folder")
    splits = has_splits(root)
    dropped: list[Dropped] = []
    found: dict[str, list[tuple[Entry, str]]] = {}
    channels = set()
    for path, seen in _looked_at(image_files(root, dropped), self.min_pixels):
      key = printable(path.relative_to(root).as_posix())
      if isinstance(seen, str):
        dropped.append(Dropped(key, seen))
        continue
      digest, depth = seen
      channels.add(depth)
      split, class_name = place(path.relative_to(root), splits=splits)
      entry = Entry(key, path, None, digest)
      found.setdefault(split, []).append((entry, printable(class_name)))
    if not found:
      raise UserError(
        f"--source: '{root}' holds no image that can be read ({len(dropped)} dropped"
        f"{f', such as {dropped[0].key}: {dropped[0].reason}' if dropped else ''})"
      )
    names = [] if self.labels == "none" else self._class_names(found)
    return Collected(
      splits=self._split(found, names),
      class_names=tuple(names),
      image_shape=(None, None, 1 if channels == {1} else 3),
      origin=str(root),
      dropped=tuple(dropped),
      unreadable=sum(d.reason in (_NOT_DECODABLE, _TOO_LARGE, CLOSED) for d in dropped),
    )

  def _class_names(self, found: dict[str, list[tuple[Entry, str]]]) -> list[str]:
    examples = {name: entry.key for entries in found.values() for entry, name in entries}
    bare = examples.pop("", None)
    if bare is not None and examples:
      labelled = next(iter(examples.values()))
      raise UserError(
        f"--source: '{self.root}' holds images with a class ({labelled}) and without ({bare}); "
        "move them, or leave classes out by --config.source.labels=none"
      )
    return sorted(examples)

  def _split(
    self, found: dict[str, list[tuple[Entry, str]]], names: list[str]
  ) -> dict[str, list[Entry]]:
    labels = {name: i for i, name in enumerate(names)}
    splits = {
      split: [entry._replace(label=labels.get(name)) for entry, name in found[split]]
      for split in SPLITS
      if split in found
    }
    if list(splits) != ["train"] or not self.test_fraction:
      return splits
    entries = splits["train"]
    classes = np.asarray([-1 if e.label is None else e.label for e in entries])
    test = stratified_holdout(classes + 1, fraction=self.test_fraction, seed=self.seed)
    parts = {"train": ~test} | ({"test": test} if test.any() else {})
    return {name: [entries[i] for i in np.flatnonzero(rows)] for name, rows in parts.items()}


def _looked_at(
  files: list[Path], min_pixels: int
) -> Iterator[tuple[Path, tuple[bytes, int] | str]]:
  """Each file with its pixels' digest and channels, or with what is wrong with it."""

  def look(path: Path) -> tuple[bytes, int] | str:
    try:
      if path.stat().st_size > MAX_BYTES:
        return _TOO_LARGE
      image = decode(path.read_bytes())
    except (OSError, ValueError, cv2.error) as error:
      return _TOO_LARGE if "pixels: more than" in str(error) else _NOT_DECODABLE
    if min(image.shape[:2]) < min_pixels:
      return _TOO_SMALL
    return pixel_digest(image), image.shape[2]

  with (
    ThreadPoolExecutor(os.cpu_count()) as pool,
    tqdm(total=len(files), desc="read", unit=" images", mininterval=0.5) as progress,
  ):
    for start in range(0, len(files), _AT_ONCE):  # a task a file of millions would fill the memory
      part = files[start : start + _AT_ONCE]
      for pair in zip(part, pool.map(look, part), strict=True):
        progress.update()
        yield pair
