"""Images that a user has: files, folders of them and prepared sets, each once and in order."""

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from pretrainjax.data.dataset_folder import newest_version
from pretrainjax.data.decode import MAX_BYTES, decode
from pretrainjax.data.image import Transform
from pretrainjax.data.image_data import ImageData
from pretrainjax.data.pixels import Pixels
from pretrainjax.errors import UserError, nearest
from pretrainjax.predict.parts import digest_of_files
from pretrainjax.prepare.files.walk import File, open_listing
from pretrainjax.prepare.image.folder import SUFFIXES, why_no_image
from pretrainjax.types import Batch
from pretrainjax.untrusted import BadFile, read_bytes
from pretrainjax.user_path import user_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFiles:
  """Image files as a dataset, without labels.

  Attributes:
    paths: the places of the files.
    names: what each is called in the output.
    transform: the transform of each image.
    channels: 1 or 3.
    pixels: how to understand what the files hold.
    batch_size: images at once; the last batch is filled up.
    unreadable: reasons by the number of a file, known once `one_pass` is over.
  """

  paths: Sequence[Path]
  names: Sequence[str]
  transform: Transform
  channels: int
  pixels: Pixels
  batch_size: int
  unreadable: dict[int, str] = dataclasses.field(default_factory=dict)

  num_classes = 0
  class_names = ()
  arrays_with_views = ()

  @property
  def num_examples(self) -> int:
    """The number of files."""
    return len(self.paths)

  def piece(self, start: int, count: int) -> "ImageFiles":
    """So many of the files, from one on."""
    there = slice(start, start + count)
    return dataclasses.replace(
      self, paths=self.paths[there], names=self.names[there], unreadable={}
    )

  def identity(self) -> str:
    """A digest of the files' names, sizes and times."""
    return digest_of_files(self.paths, self.names)

  def one_pass(self) -> Iterator[Batch]:
    """Each image once, in order; "valid" is False for what cannot be read."""
    cv2.setNumThreads(0)  # our threads are enough
    blank = np.zeros((self.transform.size, self.transform.size, self.channels), np.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
      for start in range(0, len(self.paths), self.batch_size):
        numbers = range(start, min(start + self.batch_size, len(self.paths)))
        found = list(pool.map(self._image, numbers))
        found += [None] * (self.batch_size - len(found))
        images = np.stack([blank if image is None else image for image in found])
        yield {"image": images, "valid": np.array([image is not None for image in found])}

  def _image(self, number: int) -> np.ndarray | None:
    path = self.paths[number]
    try:
      data = read_bytes(path, limit=MAX_BYTES)
      image = decode(data, channels=self.channels, pixels=self.pixels)
    except (BadFile, ValueError, cv2.error) as error:
      self.unreadable[number] = " ".join(str(error).split())
      return None
    return self.transform(image, np.random.default_rng(0))


@dataclasses.dataclass(frozen=True)
class RecordedPass:
  """A prepared set, whose records are remembered that could be read.

  Attributes:
    data: one split of the set.
    start: the first record, the first one of a batch.
    count: the number of records; None is all that follow.
    valid: whether each record could be read, known once `one_pass` is over.
  """

  data: ImageData
  start: int = 0
  count: int | None = None
  valid: list[bool] = dataclasses.field(default_factory=list)

  num_classes = 0
  class_names = ()
  arrays_with_views = ()

  @property
  def num_examples(self) -> int:
    """The number of records."""
    rest = self.data.num_examples - self.start
    return rest if self.count is None else min(self.count, rest)

  def piece(self, start: int, count: int) -> "RecordedPass":
    """So many of the records, from one on that begins a batch."""
    return RecordedPass(self.data, start, count)

  def identity(self) -> str:
    """A digest of the set and its split."""
    said = json.dumps([self.data.split, self.data.fingerprints], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()

  def one_pass(self) -> Iterator[Batch]:
    """Each record once, in order."""
    size = self.data.batch_size
    batches = self.data.one_pass(skip=self.start // size)
    for batch in itertools.islice(batches, -(-self.num_examples // size)):
      rows = np.ones(len(batch["image"]), bool)
      self.valid.extend((rows & batch.get("valid", rows)).tolist())
      yield {name: array for name, array in batch.items() if name != "label"}

  def names(self) -> list[str]:
    """What each record that could be read is called: by its file, or by its number."""
    (source,), found = self.data.sources, []
    end = self.start + self.num_examples
    for start in range(self.start, end, 256):
      rows = range(start, min(start + 256, end))
      for row, valid in zip(rows, self.valid[start - self.start :], strict=False):
        if not valid:
          continue
        fields = source.records([row])[0] if source.has("filename") else {}
        file = fields["filename"].bytes_list.value if "filename" in fields else ()
        found.append(file[0].decode() if file else f"{source.name}/{source.split}/{row}")
    return found


def find_files(inputs: Sequence[str]) -> tuple[list[Path], list[str]]:
  """Image files that a user names, and those in folders; also their names in the output.

  Raises:
    UserError: for what is not there, or a folder without images.
  """
  paths, names = [], []
  for given in inputs:
    root = user_path(given)
    if not root.is_dir():
      if not root.is_file():
        beside = [p.name for p in root.parent.glob("*")] if root.parent.is_dir() else []
        raise UserError(
          f"--input: no file, folder or dataset '{given}'{nearest(root.name, beside)}"
        )
      paths.append(root)
      names.append(given)
      continue
    with open_listing(suffixes=SUFFIXES, what="image", by_content=why_no_image) as listing:
      listing.add(root)
      inside = [item.path for item in listing.items() if isinstance(item, File)]
    if not inside:
      raise UserError(f"--input: '{given}' holds no image")
    paths += [root / path for path in inside]
    names += [path.as_posix() for path in inside]
  return paths, names


def find_dataset(given: str, data_dir: Path) -> tuple[str, Path] | None:
  """Name and data_dir of a prepared set, which a user names or whose folder; None for another."""
  path = user_path(given)
  if (path / "dataset_info.json").is_file():
    path = path.resolve().parent
  if path.is_dir() and newest_version(path.name, path.parent) is not None:
    return path.name, path.parent
  if not path.exists() and newest_version(given, data_dir) is not None:
    return given, data_dir
  return None
