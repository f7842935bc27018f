"""A document on its way from a source to a dataset, and what a source has to offer."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable


class Document(NamedTuple):
  """One text, as its source has it.

  Attributes:
    key: says where it came from, unique in the dataset.
    text: the words joined by spaces where there are `words`.
    second: the other text of a pair, or the response to a prompt.
    label: the name of its class.
    score: a number to be predicted.
    words: of a text whose words have tags.
    tags: one a word.
    split: where the source says so; None leaves it to the hash of `group`.
    group: parts of one document have one group, and so one split; None: the text itself.
  """

  key: str
  text: str
  second: str | None = None
  label: str | None = None
  score: float | None = None
  words: tuple[str, ...] | None = None
  tags: tuple[str, ...] | None = None
  split: str | None = None
  group: str | None = None

  def to_json(self) -> str:
    """One line, without what is absent."""
    return json.dumps({k: v for k, v in self._asdict().items() if v is not None})

  @classmethod
  def from_json(cls, line: str) -> "Document":
    """The inverse of `to_json`."""
    facts = json.loads(line)
    for name in ("words", "tags"):
      if name in facts:
        facts[name] = tuple(facts[name])
    return cls(**facts)


class Unreadable(NamedTuple):
  """A record or file that is no document.

  Attributes:
    key: says where it is.
    reason: why, in a few words that can be counted.
    fault: whether it should have been one; too many of those fail the run.
  """

  key: str
  reason: str
  fault: bool = True


class Part(NamedTuple):
  """A file or the like: its records come in the same order every time.

  Attributes:
    key: its name, for messages.
    size: in any unit, for the progress bar.
    records: reads it from its beginning.
  """

  key: str
  size: int
  records: Callable[[], Iterator[Document | Unreadable]]


@dataclasses.dataclass(frozen=True)
class Corpus:
  """What a source found, opened.

  Attributes:
    origin: where, for the report.
    identity: changes when the raw data does; a run that was stopped goes on only if it is the same.
    size: the sum of all parts' sizes.
    parts: yields them, in the same order every time; those of held-out splits come first, so that
      of two equal documents the one held out is kept.
    class_names: in order, where the source knows them; else they are gathered.
  """

  origin: str
  identity: str
  size: int
  parts: Callable[[], Iterator[Part]]
  class_names: tuple[str, ...] | None = None


@runtime_checkable
class TextSource(Protocol):
  """A dataclass that says what to read."""

  name: str

  def open(self, data_dir: Path) -> AbstractContextManager[Corpus]:
    """Looks at what there is.

    Args:
      data_dir: where prepared datasets lie.

    Raises:
      UserError: where there is nothing to read.
    """
    ...
