"""Which field of a record is what, and what is wrong with records that are no documents."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.text.document import Document

# Scores are written as float32.
_LARGEST = 3.4e38
_LONGEST_NAME = 1000


class _Wrong(Exception):
  """A field is not what it has to be; the message says so in a few words."""


@dataclasses.dataclass(frozen=True)
class Fields:
  """The names of fields in a jsonl line, a row of a parquet file or a tfds example.

  Attributes:
    text: the text, or with `tags` a list of words.
    second: the other text of a pair, or the response to a prompt.
    label: the class: a word, a number or a truth value.
    score: a number to be predicted.
    tags: a list with a class for each word.
  """

  text: str = "text"
  second: str | None = None
  label: str | None = None
  score: str | None = None
  tags: str | None = None

  def names(self) -> list[str]:
    """The names of all fields that a record must have."""
    return [name for name in dataclasses.astuple(self) if name is not None]

  def document(self, record: Any, *, key: str, split: str | None = None) -> Document | Unreadable:
    """Makes a document of a record, or says why it is none.

    Args:
      record: fields by name, if it is well-formed.
      key: the key of the document.
      split: the split of the document; None where the source has none.
    """
    if not isinstance(record, Mapping):
      return Unreadable(key, "not a record of fields")
    missing = [name for name in self.names() if record.get(name) is None]
    if missing:
      return Unreadable(key, f"no field '{missing[0]}'")
    try:
      words, tags = self._tagged(record)
      return Document(
        key=key,
        text=_text(record[self.text], self.text) if words is None else " ".join(words),
        second=None if self.second is None else _text(record[self.second], self.second),
        label=None if self.label is None else _name(record[self.label], self.label),
        score=None if self.score is None else _number(record[self.score], self.score),
        words=words,
        tags=tags,
        split=split,
      )
    except _Wrong as error:
      return Unreadable(key, str(error))

  def _tagged(self, record: Mapping) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    if self.tags is None:
      return None, None
    words, tags = record[self.text], record[self.tags]
    if not isinstance(words, (list, tuple)) or not isinstance(tags, (list, tuple)):
      raise _Wrong(f"'{self.text}' and '{self.tags}' are not lists")
    if len(words) != len(tags):
      raise _Wrong(f"'{self.tags}' has another length than '{self.text}'")
    named = tuple(_name(tag, self.tags) for tag in tags)
    return tuple(_text(word, self.text) for word in words), named


def _text(value: Any, name: str) -> str:
  if isinstance(value, bytes):
    try:
      return value.decode("utf-8")
    except UnicodeDecodeError:
      raise _Wrong("not UTF-8") from None
  if not isinstance(value, str):
    raise _Wrong(f"'{name}' is no text")
  return value


def _name(value: Any, name: str) -> str:
  if isinstance(value, bytes):
    return _text(value, name)
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, float) and value.is_integer():  # a column with gaps makes 1 of 1.0
    return str(int(value))
  name_of = str(value).strip() if isinstance(value, (str, int)) else ""
  is_line = len(name_of.splitlines()) == 1 and len(name_of) <= _LONGEST_NAME
  if not is_line or not _is_utf8(name_of):
    raise _Wrong(f"'{name}' is no class")
  return name_of


def _is_utf8(text: str) -> bool:
  """Whether no half of a surrogate pair is in it: JSON can spell those."""
  return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _number(value: Any, name: str) -> float:
  try:
    number = math.nan if isinstance(value, bool) else float(value)
  except (TypeError, ValueError, OverflowError):
    number = math.nan
  if not abs(number) <= _LARGEST:
    raise _Wrong(f"'{name}' is no finite number")
  return number
