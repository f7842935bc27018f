"""A folder of images: ROOT/class/*.jpg, ROOT/train/class/*.jpg and ROOT/test/..., or unlabelled."""

import contextlib
import dataclasses
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pretrainjax.data.decode import READABLE
from pretrainjax.data.image_header import HEAD, format_of
from pretrainjax.data.pixels import Pixels
from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.layout import (
  Layout,
  find_layout,
  folders_in_classes,
  parse_meanings,
)
from pretrainjax.prepare.files.walk import File, Listing, open_listing
from pretrainjax.prepare.image.check import ImageFile, Look, examined
from pretrainjax.prepare.image.example import Image
from pretrainjax.prepare.image.preparation import ImagePreparation
from pretrainjax.prepare.image.shrink import Shrink
from pretrainjax.prepare.stages.holdout import Stratified
from pretrainjax.prepare.stages.place import check_name
from pretrainjax.ranges import PositiveInt, Rate, Seed, check_ranges
from pretrainjax.untrusted import open_file
from pretrainjax.user_path import user_path

# Files of other names are taken where they begin as images do.
SUFFIXES = frozenset(
  (
    ".jpg .jpeg .jpe .jfif .jif .png .webp .avif .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm"
  ).split()
)
_AT_ONCE = 1000  # files of a part
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads every image below a folder.

  Attributes:
    root: the folder. Folders below it are classes; where all of them are named as splits ("Train",
      "valid", "test_set"; also inside of one folder that holds all) they are, and the classes lie
      in those. Images directly in it have none.
    name: the name of the dataset, in small letters, digits and underscores.
    test_fraction: the share of each class that is held out by `seed` where the folder has no
      splits of its own; of all images where no class has enough.
    seed: the seed of that choice.
    min_pixels: the shorter side of what is kept.
    labels: "folders" takes classes from the folders, "none" leaves them out.
    split_names: what folders are, "fold1=test" each: train, validation, test, class or none.
    class_level: the folder that names the class, counted from 1 below the root and without those of
      splits; None finds it.
    follow_links: whether links out of the folder and linked folders are followed, as caches of
      downloads, DVC and git-annex have them. Whoever made the folder can then have any image read.
    pixels: what becomes of rotation, transparency and more than 8 bits.
    shrink: images that are larger are shrunk.
  """

  root: str = ""
  name: str = "images"
  test_fraction: Rate = 0.1
  seed: Seed = 0
  min_pixels: PositiveInt = 1
  labels: Literal["folders", "none"] = "folders"
  split_names: tuple[str, ...] = ()
  class_level: PositiveInt | None = None
  follow_links: bool = False
  pixels: Pixels = Pixels()
  shrink: Shrink = Shrink()

  preparation = ImagePreparation()

  def __post_init__(self):
    check_name(self.name)
    check_ranges(self)
    parse_meanings(self.split_names)

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields all images below the folder.

    Raises:
      UserError: for a folder that is not there or holds no image.
    """
    root = user_path(self.root)
    if not self.root or not os.path.isdir(root):  # Path's own raises for a name that is too long
      raise UserError(f"--source: '{self.root}' is no folder")
    with (
      open_listing(
        suffixes=SUFFIXES, what="image", by_content=why_no_image, follow_links=self.follow_links
      ) as listing,
      ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
      listing.add(root)
      _refuse_none(listing, root)
      folders = listing.folders()
      layout = find_layout(
        folders,
        root=str(root),
        meanings=parse_meanings(self.split_names),
        class_level=self.class_level,
      )
      yield Corpus(
        origin=str(root),
        identity=listing.identity(),
        size=listing.num_items,
        parts=lambda: self._parts(root, listing, pool, layout),
        holdout=Stratified(self.test_fraction, self.seed) if self.test_fraction else None,
        unit=" images",
        report=self._report(layout, folders),
        place_of=lambda key: self._place(layout, PurePosixPath(key).parts[:-1]) or ("", None),
      )

  def _report(self, layout: Layout, folders: set[tuple[str, ...]]) -> dict[str, Any]:
    """What is known of the images before they are looked at."""
    inside = folders_in_classes(layout, folders) if self.labels == "folders" else []
    report: dict[str, Any] = {"pixels": dataclasses.asdict(self.pixels)}
    if inside:
      report["class_level"] = layout.class_at + 1
      report["num_folders_in_classes"] = len(inside)
      report["folders_in_classes"] = [printable(name) for name in inside[:_SHOWN]]
    return report

  def _parts(
    self, root: Path, listing: Listing, pool: ThreadPoolExecutor, layout: Layout
  ) -> Iterator[Part]:
    items = listing.items()
    look = Look(self.min_pixels, self.pixels, self.shrink)
    while some := list(itertools.islice(items, _AT_ONCE)):

      def records(some: list[File | Unreadable] = some) -> Iterator[Image | Unreadable]:
        found = [i if isinstance(i, Unreadable) else self._file(root, i, layout) for i in some]
        return examined(found, look=look, pool=pool)

      yield Part(str(root), len(some), records)

  def _file(self, root: Path, file: File, layout: Layout) -> ImageFile | Unreadable:
    key = printable(file.path.as_posix())
    placed = self._place(layout, file.path.parts[:-1])
    if placed is None:
      return Unreadable(key, "left out by split_names", fault=False)
    return ImageFile(root / file.path, file.size, key, label=placed[1], split=placed[0])

  def _place(self, layout: Layout, folders: tuple[str, ...]) -> tuple[str, str | None] | None:
    placed = layout.place(folders)
    if placed is None:
      return None
    split, class_name = placed
    has_label = class_name is not None and self.labels == "folders"
    return split, printable(class_name) if has_label else None


def why_no_image(path: Path) -> str | None:
  """Why a file that is not named as an image is none; None where it begins as one."""
  with open_file(path) as file:
    found = format_of(file.read(HEAD))
  if found in READABLE:
    return None
  return "no image by its name" if found is None else f"format that is not read: {found}"


def _refuse_none(listing: Listing, root: Path) -> None:
  if listing.num_files:
    return
  first = next(listing.items(), None)
  reason = first.reason if isinstance(first, Unreadable) else ""
  such = f", such as {first.key}: {reason}" if first is not None and reason else ""
  is_followed_on_demand = reason.startswith(("link out", "linked"))
  hint = "; --config.source.follow_links=true follows links" if is_followed_on_demand else ""
  raise UserError(
    f"--source: '{root}' holds no image ({listing.num_items:,} passed over{such}{hint})"
  )
