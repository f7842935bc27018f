"""A folder of texts, or a tfds dataset that has texts, as a user has them."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pretrainjax.errors import UserError, printable
from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.files.walk import File, Listing, open_listing
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.stages.place import check_name
from pretrainjax.prepare.text.catalogue import open_dataset
from pretrainjax.prepare.text.columns import completed, described
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.form import Form
from pretrainjax.prepare.text.formats import RECORDS, SUFFIXES, Reader, kind_of
from pretrainjax.prepare.text.preparation import TextPreparation
from pretrainjax.prepare.text.split_files import SplitNames, split_names
from pretrainjax.prepare.text.streams import COMPRESSED
from pretrainjax.ranges import PositiveInt, check_ranges
from pretrainjax.user_path import user_path

_PARTS, _SHORTEST_PART = 50, 1000  # of a text that is alone, and in characters
_NO_TEXT = "no text by its name"
_LOOKED_AT = 20  # of .txt, for columns in them


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads every file of text below a folder: .txt, .jsonl, .json, .csv, .tsv, .conll, .parquet.

  All but .parquet may be packed as .gz or .zst. Words with tags in columns are known by what stands
  in the file, too, whatever its name: "eng.testa".

  Attributes:
    root: the folder, or one file.
    name: the name of the dataset to be made, in small letters, digits and underscores.
    dataset: name of a tfds dataset in data_dir, to be read instead of `root`.
    fields: which field of a record is what; where none is named it is guessed, and told.
    header: whether the first row of a table names its columns; None goes by what stands in it.
    documents: what a document is in a .txt file: the whole "file", a "part" of some length, a
      "paragraph" that ends with an empty line, or a "line". "auto" is the file; one or two alone,
      of which nothing could be held out, are cut into parts; and words with tags in columns are
      known as such.
    part_characters: the most in a part.
    encoding: the encoding of files without a byte order mark.
    splits: "names" takes splits from the names of files and folders, such as train.jsonl beside
      test.jsonl; "none" leaves all to the holdout.
  """

  root: str = ""
  name: str = "text"
  dataset: str | None = None
  fields: Fields = Fields()
  header: bool | None = None
  documents: Literal["auto", "file", "part", "paragraph", "line"] = "auto"
  part_characters: PositiveInt = 20_000
  encoding: str = "utf-8"
  splits: Literal["names", "none"] = "names"

  preparation = TextPreparation(holdout=Holdout(validation_fraction=0.02), form=Form(kind="auto"))

  def __post_init__(self):
    check_name(self.name)
    check_ranges(self)
    try:
      "".encode(self.encoding)  # refuses those that turn bytes into bytes, such as "zip", too
    except (LookupError, UnicodeError):
      raise ValueError(f"encoding='{self.encoding}': expected one that Python knows") from None

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields all texts below the folder.

    Raises:
      UserError: where there is no text, or the names of files do not say what is held out.
    """
    if self.dataset is not None:
      yield open_dataset(self.dataset, data_dir=data_dir, fields=self.fields)
      return
    root = user_path(self.root)
    self._check(root, data_dir)
    with open_listing(
      suffixes=(*SUFFIXES, *COMPRESSED), what="text", by_content=self._why_no_text
    ) as listing:
      listing.add(root, order="folder")
      files = _Files(root, listing, self.encoding)
      if next(files.texts(), None) is None:
        others = f"; {listing.num_items:,} passed over" if listing.num_items else ""
        raise UserError(f"--source: '{root}' holds no {', '.join(SUFFIXES)}{others}")
      splits = SplitNames()
      if self.splits == "names" and not root.is_file():
        splits = split_names(lambda: (file.path for file in files.texts()), root=str(root))
      reader, notes = self._reader(files, splits)
      yield Corpus(
        origin=str(root),
        identity=listing.identity(),
        size=listing.num_bytes,
        parts=lambda: self._parts(files, reader, splits),
        splits=splits.splits,
        notes=(*((splits.note(),) if splits.splits else ()), *notes),
      )

  def _check(self, root: Path, data_dir: Path) -> None:
    if not self.root or not os.path.exists(root):  # Path's own raises for a name that is too long
      raise UserError(f"--source: '{self.root}' is no folder and no file")
    own = (data_dir / self.name).resolve()
    if own.is_relative_to(root.resolve()) or root.resolve().is_relative_to(own):
      raise UserError(
        f"--source: '{root}' and the dataset's own folder '{data_dir / self.name}' hold one "
        "another; choose another --data_dir or --name"
      )
    if root.is_file() and kind_of(root, encoding=self.encoding) is None:
      raise UserError(f"--source: '{root}' ends with no {', '.join(SUFFIXES)}")

  def _why_no_text(self, path: Path) -> str | None:
    """None for a file of columns, whatever its name."""
    return None if kind_of(path, encoding=self.encoding) is not None else _NO_TEXT

  def _reader(self, files: "_Files", splits: SplitNames) -> tuple[Reader, list[str]]:
    """What reads the files, and what is told of what it made of them."""
    reader = Reader(self.fields, self.documents, self.part_characters, self.encoding, self.header)
    notes = []
    if self.documents == "auto" and not splits.splits:
      few = [file for _, file in zip(range(3), files.texts(), strict=False)]
      if len(few) < 3 and all(reader.kind(files.place(file)) == "lines" for file in few):
        wanted = sum(file.size for file in few) // _PARTS
        size = min(max(wanted, _SHORTEST_PART), self.part_characters)
        reader = dataclasses.replace(reader, documents="part", part_characters=size)
        notes.append(f"few files, cut into parts of {size:,} characters")
    for file in files.for_training(splits):
      kind = reader.kind(files.place(file))
      rows = reader.head(files.place(file)) if kind in RECORDS else []
      if rows:
        fields = completed(self.fields, rows, kind=kind, file=files.key(file.path))
        reader = dataclasses.replace(reader, fields=fields)
        notes.append(f"{described(fields)}, as in {files.key(file.path)}")
        break
    return reader, notes

  def _parts(self, files: "_Files", reader: Reader, splits: SplitNames) -> Iterator[Part]:
    order = splits.splits or (None,)
    for split in order:
      for item in files.items():
        if isinstance(item, Unreadable):
          if split == order[-1]:
            yield Part(item.key, 0, records=lambda item=item: iter([item]))
        elif splits.split_of(item.path) == split:
          yield self._part(files, reader, item, split)

  def _part(self, files: "_Files", reader: Reader, file: File, split: str | None) -> Part:
    path, key = files.place(file), files.key(file.path)
    return Part(key, file.size, records=lambda: reader.records(path, key=key, split=split))


class _Files(NamedTuple):
  """What lies below a root, by what it is."""

  root: Path
  listing: Listing
  encoding: str

  def items(self) -> Iterator[File | Unreadable]:
    """The files that are read, and what is passed over."""
    for item in self.listing.items():
      if isinstance(item, File) and self.kind(item) is None:  # such as a .tar.gz
        yield Unreadable(self.key(item.path), _NO_TEXT, fault=False)
      else:
        yield item

  def texts(self) -> Iterator[File]:
    """The files that are read."""
    return (item for item in self.items() if isinstance(item, File))

  def for_training(self, splits: SplitNames) -> Iterator[File]:
    """Files that may be records, those for training before the others; of .txt the first few."""
    num_lines = 0
    for is_training in (True, False):
      for file in self.texts():
        if (splits.split_of(file.path) in (None, "train")) == is_training:
          num_lines += self.kind(file) == "lines"
          if num_lines <= _LOOKED_AT or self.kind(file) != "lines":
            yield file

  def kind(self, file: File) -> str | None:
    """What a file is, see `kind_of`."""
    return kind_of(self.place(file), encoding=self.encoding)

  def place(self, file: File) -> Path:
    """Where a file is."""
    return self.root / file.path

  def key(self, path: Path) -> str:
    """What a file is called in messages and keys."""
    return printable(path.as_posix() if path.parts else self.root.name)
