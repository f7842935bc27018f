"""A folder of images: ROOT/class/*.jpg, ROOT/train/class/*.jpg and ROOT/test/..., or unlabelled."""

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.splits import has_splits, place
from pretrainjax.prepare.files.walk import File, Listing, open_listing
from pretrainjax.prepare.image.check import ImageFile, examined
from pretrainjax.prepare.image.example import Image
from pretrainjax.prepare.image.preparation import ImagePreparation
from pretrainjax.prepare.stages.holdout import Stratified
from pretrainjax.ranges import PositiveInt, Rate, Seed, check_ranges
from pretrainjax.user_path import user_path

SUFFIXES = frozenset(".jpg .jpeg .png .webp .bmp .gif .tif .tiff .ppm .pgm".split())
_AT_ONCE = 1000  # files of a part


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads every image below a folder.

  Attributes:
    root: the folder. Folders below it are classes; where all of them are named train, validation,
      val or test they are splits, and the classes lie in those. Images directly in it have none.
    name: the name of the dataset, in small letters, digits and underscores.
    test_fraction: of each class, held out by `seed` where the folder has no splits of its own.
    seed: the seed of that choice.
    min_pixels: the shorter side of what is kept.
    labels: "folders" takes classes from the folders, "none" leaves them out.
  """

  root: str = ""
  name: str = "images"
  test_fraction: Rate = 0.1
  seed: Seed = 0
  min_pixels: PositiveInt = 1
  labels: Literal["folders", "none"] = "folders"

  preparation = ImagePreparation()

  def __post_init__(self):
    if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
      raise ValueError(f"name='{self.name}': expected small letters, digits and underscores")
    if len(self.name) > 100:
      raise ValueError(f"name='{self.name}': expected at most 100 letters")
    check_ranges(self)

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields all images below the folder.

    Raises:
      UserError: for a folder that is not there or holds no image.
    """
    root = user_path(self.root)
    if not self.root or not os.path.isdir(root):  # Path's own raises for a name that is too long
      raise UserError(f"--source: '{self.root}' is no folder")
    splits = has_splits(root)
    with (
      open_listing(suffixes=SUFFIXES, what="image") as listing,
      ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
      listing.add(root)
      if not listing.num_files:
        first = next(listing.items(), None)
        such = f", such as {first.key}: {first.reason}" if isinstance(first, Unreadable) else ""
        raise UserError(
          f"--source: '{root}' holds no image ({listing.num_items:,} passed over{such})"
        )
      yield Corpus(
        origin=str(root),
        identity=listing.identity(),
        size=listing.num_items,
        parts=lambda: self._parts(root, listing, pool, splits=splits),
        holdout=Stratified(self.test_fraction, self.seed) if self.test_fraction else None,
        unit=" images",
      )

  def _parts(
    self, root: Path, listing: Listing, pool: ThreadPoolExecutor, *, splits: bool
  ) -> Iterator[Part]:
    items = listing.items()
    while some := list(itertools.islice(items, _AT_ONCE)):

      def records(some: list[File | Unreadable] = some) -> Iterator[Image | Unreadable]:
        found = [i if isinstance(i, Unreadable) else self._file(root, i, splits) for i in some]
        return examined(found, min_pixels=self.min_pixels, pool=pool)

      yield Part(str(root), len(some), records)

  def _file(self, root: Path, file: File, splits: bool) -> ImageFile:
    split, class_name = place(file.path, splits=splits)
    label = printable(class_name) if class_name and self.labels == "folders" else None
    return ImageFile(root / file.path, file.size, printable(file.path.as_posix()), label, split)
