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
    key: says where it is.
    reason: why, in a few words that can be counted.
    fault: whether it should have been one; too many of those fail the run.
  """

  key: str
  reason: str
  fault: bool = True


class Reached(NamedTuple):
  """Says among a part's records how far the reading is, for the progress bar; no record.

  Attributes:
    amount: of the part's size.
  """

  amount: int


class Part(NamedTuple):
  """A file of a source, or some files, whose records come in the same order every time.

  Attributes:
    key: its name, for messages.
    size: in the corpus's unit, for the progress bar.
    records: reads it from its beginning: examples of one kind, and what is unreadable; `Reached`
      may stand between them.
  """

  key: str
  size: int
  records: Callable[[], Iterator[Any]]


@dataclasses.dataclass(frozen=True)
class Corpus:
  """The raw data that a source found, opened for reading.

  Attributes:
    origin: where, for the report.
    identity: changes when the raw data does; a run that was stopped goes on only if it is the same.
    size: the sum of all parts' sizes.
    parts: yields them, in the same order every time; those of held-out splits come first, so that
      of two equal documents the one held out is kept.
    class_names: in order, where the source knows them; else they are gathered.
    holdout: how images are held out, where all are in "train"; None leaves them there.
    unit: the unit of `size`, for the progress bar.
    info: for tfds's metadata: description, homepage, license.
    splits: those that the source gives; () where it gives none, or does not know before.
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
  splits: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()


@runtime_checkable
class Collector(Protocol):
  """Keeps examples as they come."""

  def drop(self, key: str, reason: str) -> None:
    """Notes what is left out, beside the tally."""
    ...

  def take(self, example: Any) -> str | None:
    """Cleans, compares and keeps one; or says why not, in a few words that can be counted."""
    ...


class Opened(NamedTuple):
  """A job in its work folder.

  Attributes:
    corpus: what it reads.
    folder: for files that are gone when all is done.
    journal: what was done; whatever is put there lasts from the next commit on.
    tally: what was counted so far.
  """

  corpus: Corpus
  folder: Path
  journal: Journal
  tally: Tally


class Size(NamedTuple):
  """How much there is of a split: examples, and about how many bytes."""

  examples: int
  bytes: int


@dataclasses.dataclass(frozen=True)
class Encoded:
  """All examples, ready to be written.

  Attributes:
    splits: how much there is, by split; none is empty.
    features: the features of tfds, by name.
    records: yields those of a split as tfds reads them, but the first so many.
    report: facts for prepared.json.
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
    """Plain data: with the source's own, all that decides what is written."""
    ...

  def tally(self, facts: Mapping[str, Any]) -> Tally:
    """Makes an empty tally, or the one whose facts a journal kept."""
    ...

  def collector(self, opened: Opened, files: Appended) -> Collector:
    """Makes the collector that examples go to.

    Args:
      opened: the job.
      files: where they can be kept.
    """
    ...

  def encode(self, opened: Opened) -> Encoded:
    """Does what needs to have seen all examples; goes on where a run was stopped.

    Raises:
      UserError: where the examples do not fit together.
    """
    ...


@runtime_checkable
class Source(Protocol):
  """A dataclass that says what to read.

  Attributes:
    name: the dataset's name.
    preparation: what suits it; the config can change its fields.
  """

  name: str
  preparation: ClassVar[Preparation]

  def open(self, data_dir: Path) -> AbstractContextManager[Corpus]:
    """Opens the raw data for as long as the job reads it.

    Args:
      data_dir: where prepared datasets lie.

    Raises:
      UserError: where there is nothing to read.
    """
    ...
