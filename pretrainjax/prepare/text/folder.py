"""A folder of texts, or a tfds dataset that has texts, as a user has them."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.splits import split_folders
from pretrainjax.prepare.files.walk import Listing, open_listing
from pretrainjax.prepare.text.catalogue import open_dataset
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.formats import Reader
from pretrainjax.prepare.text.preparation import TextPreparation
from pretrainjax.ranges import PositiveInt, check_ranges
from pretrainjax.user_path import user_path

SUFFIXES = (".txt", ".jsonl", ".parquet")


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads every .txt, .jsonl and .parquet file below a folder.

  Attributes:
    root: the folder, or one file. Folders in it that are all named train, validation, val or test
      are splits.
    name: the name of the dataset to be made, in small letters, digits and underscores.
    dataset: name of a tfds dataset in data_dir, to be read instead of `root`.
    fields: which field of a record is what.
    documents: what a document is in a .txt file: the whole "file", a "part" of some length, a
      "paragraph" that ends with an empty line, or a "line".
    part_characters: the most in a part.
    encoding: the encoding of .txt files.
  """

  root: str = ""
  name: str = "text"
  dataset: str | None = None
  fields: Fields = Fields()
  documents: Literal["file", "part", "paragraph", "line"] = "file"
  part_characters: PositiveInt = 20_000
  encoding: str = "utf-8"

  preparation = TextPreparation()

  def __post_init__(self):
    if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
      raise ValueError(f"name='{self.name}': expected small letters, digits and underscores")
    if len(self.name) > 100:
      raise ValueError(f"name='{self.name}': expected at most 100 letters")
    check_ranges(self)
    try:
      "".encode(self.encoding)  # refuses those that turn bytes into bytes, such as "zip", too
    except (LookupError, UnicodeError):
      raise ValueError(f"encoding='{self.encoding}': expected one that Python knows") from None

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields all texts below the folder.

    Raises:
      UserError: where there is no text.
    """
    if self.dataset is not None:
      yield open_dataset(self.dataset, data_dir=data_dir, fields=self.fields)
      return
    root = user_path(self.root)
    if not self.root or not os.path.exists(root):  # Path's own raises for a name that is too long
      raise UserError(f"--source: '{self.root}' is no folder and no file")
    own = (data_dir / self.name).resolve()
    if own.is_relative_to(root.resolve()) or root.resolve().is_relative_to(own):
      raise UserError(
        f"--source: '{root}' and the dataset's own folder '{data_dir / self.name}' hold one "
        "another; choose another --data_dir or --name"
      )
    if root.is_file() and root.suffix.lower() not in SUFFIXES:
      raise UserError(f"--source: '{root}' ends with no {', '.join(SUFFIXES)}")
    with contextlib.ExitStack() as stack:
      listings = {}
      for folder in split_folders(root):
        listings[folder] = stack.enter_context(open_listing(suffixes=SUFFIXES, what="text"))
        listings[folder].add(folder, order="folder")
      if not any(listing.num_files for listing in listings.values()):
        raise UserError(f"--source: '{root}' holds no {', '.join(SUFFIXES)}")
      yield Corpus(
        origin=str(root),
        identity=" ".join(listing.identity() for listing in listings.values()),
        size=sum(listing.num_bytes for listing in listings.values()),
        parts=lambda: self._parts(root, listings),
      )

  def _parts(self, root: Path, listings: dict[Path, Listing]) -> Iterator[Part]:
    reader = Reader(self.fields, self.documents, self.part_characters, self.encoding)
    for folder, split in split_folders(root).items():
      for item in listings[folder].items():
        if isinstance(item, Unreadable):
          yield Part(item.key, 0, records=lambda item=item: iter([item]))
          continue
        path = folder / item.path
        key = printable(path.name if path == root else path.relative_to(root).as_posix())
        yield Part(
          key,
          item.size,
          records=lambda path=path, key=key, split=split: reader.records(
            path, key=key, split=split
          ),
        )
