"""What a source offers, what is done to examples of one kind, and what the job does with both."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.prepare.stages.holdout import Stratified
from pretrainjax.prepare.stages.journal import Journal
from pretrainjax.prepare.stages.tally import Tally


class Unreadable(NamedTuple):
  """A record or file that is no example.

  Attributes:
    key: the name of its place, unique in the dataset.
    reason: the reason why, in a few words that can be counted.
    fault: whether it should have been one; too many of those fail the run.
    num_records: how many records it stands for, where it is the first of several.
  """

  key: str
  reason: str
  fault: bool = True
  num_records: int = 1


class Reached(NamedTuple):
  """Says among a part's records how far the reading is, for the progress bar; no record.

  Attributes:
    amount: of the part's size.
  """

  amount: int


class Remark(NamedTuple):
  """Something that a person should know of an example that is kept.

  Attributes:
    what: a few words that can be counted.
    number: what they are about, such as the highest value; 0 where there is none.
  """

  what: str
  number: float = 0.0


class Part(NamedTuple):
  """A file of a source, or some files, whose records come in the same order every time.

  Attributes:
    key: the name of the part, for messages.
    size: its size in the corpus's unit, for the progress bar.
    records: reads the part from its beginning: examples of one kind, and what is unreadable;
      `Reached` may stand between them. What holds many examples says so by `num_records`.
  """

  key: str
  size: int
  records: Callable[[], Iterator[Any]]


@dataclasses.dataclass(frozen=True)
class Corpus:
  """The raw data that a source found, opened for reading.

  Attributes:
    origin: the path or address of the data, for the report.
    identity: changes when the raw data does; a run that was stopped goes on only if it is the same.
    size: the sum of all parts' sizes.
    parts: yields them, in the same order every time; those of held-out splits come first, so that
      of two equal documents the one held out is kept.
    class_names: in order, where the source knows them; else they are gathered.
    holdout: how images are held out, where all are in "train"; None leaves them there.
    unit: the unit of `size`, for the progress bar.
    info: facts for tfds's metadata: description, homepage, license.
    report: further facts for prepared.json.
    place_of: the split and class of a key, where keys say them, to tell which have lost all
      they had.
    splits: the splits that the source gives; () where it gives none, or does not know before.
    notes: what was made of names and columns, for the report.
  """

  origin: str
  identity: str
  size: int
  parts: Callable[[], Iterator[Part]]
  class_names: tuple[str, ...] | None = None
  holdout: Stratified | None = None
  unit: str = "B"
  info: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  report: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  place_of: Callable[[str], tuple[str, str | None]] | None = None
  splits: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()


@runtime_checkable
class Collector(Protocol):
  """Takes the examples of a source one by one, and keeps them in files."""

  def drop(self, key: str, reason: str) -> None:
    """Notes an example that is left out, beside the tally."""
    ...

  def take(self, example: Any) -> str | None:
    """Keeps an example, or says why not, in a few words that can be counted."""
    ...


class Opened(NamedTuple):
  """A job of preparation that is under way in its work folder.

  Attributes:
    corpus: the raw data that the job reads.
    folder: the folder for files that are gone when all is done.
    journal: the record of what was done; whatever is put there lasts from the next commit on.
    tally: the counts of the examples so far.
  """

  corpus: Corpus
  folder: Path
  journal: Journal
  tally: Tally


class Size(NamedTuple):
  """The size of a split: the number of its examples, and about how many bytes they have."""

  examples: int
  bytes: int


@dataclasses.dataclass(frozen=True)
class Encoded:
  """All examples of a dataset, ready to be written.

  Attributes:
    splits: the size of each split; none is empty.
    features: the features of tfds, by name.
    records: a function that yields the records of a split as tfds reads them, but the first so
      many.
    report: the facts to write into prepared.json.
    texts: further files of the dataset by name, in chunks.
    info: further facts for tfds's metadata, such as a description.
  """

  splits: dict[str, Size]
  features: dict[str, Any]
  records: Callable[[str, int], Iterator[bytes]]
  report: dict[str, Any]
  texts: Mapping[str, Iterator[str]] = dataclasses.field(default_factory=dict)
  info: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@runtime_checkable
class Preparation(Protocol):
  """What is done to examples of one kind: a frozen dataclass whose fields are the config's."""

  noun: ClassVar[str]  # what an example is, for messages: "image"
  unreadable: ClassVar[str]  # "images cannot be decoded"

  def settings(self) -> dict[str, Any]:
    """The settings as plain data: with the source's own, they decide what is written."""
    ...

  def tally(self, facts: Mapping[str, Any]) -> Tally:
    """Makes an empty tally, or the one whose facts a journal kept."""
    ...

  def collector(self, opened: Opened, files: Appended) -> Collector:
    """Makes the collector that examples go to.

    Args:
      opened: the job, opened in its folder.
      files: the files that it can append to.
    """
    ...

  def encode(self, opened: Opened) -> Encoded:
    """Makes the records, once all examples are collected; goes on where a run was stopped.

    Raises:
      UserError: where the examples do not fit together.
    """
    ...


@runtime_checkable
class Source(Protocol):
  """A dataclass that says which raw data to read.

  Attributes:
    name: the name of the dataset.
    preparation: the preparation that suits it; the config can change its fields.
  """

  name: str
  preparation: ClassVar[Preparation]

  def open(self, data_dir: Path) -> AbstractContextManager[Corpus]:
    """Opens the raw data for as long as the job reads it.

    Args:
      data_dir: the folder in which prepared datasets lie.

    Raises:
      UserError: where there is nothing to read.
    """
    ...
