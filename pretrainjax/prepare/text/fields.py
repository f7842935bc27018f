"""Which field of a record is what, and what is wrong with records that are no documents."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.text.chat import NoChat, prompt_and_response
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.questions import NoAnswers, answers_of

# Scores are written as float32.
_LARGEST = 3.4e38
_LONGEST_NAME = 1000


class _Wrong(Exception):
  """A field is not what it has to be; the message says so in a few words."""


@dataclasses.dataclass(frozen=True)
class Fields:
  """Names of fields in a record: of JSON, a table, a parquet file or a tfds dataset.

  A field within another one has a name with dots, "data.text". Columns without names are called
  "1", "2" and so on.

  Attributes:
    text: the text, or a list of texts, which become its paragraphs; with `tags` a list of words.
    second: the other text of a pair, or the response to a prompt.
    label: the class: a word, a number or a truth value.
    score: a number to be predicted.
    tags: a list with a class for each word.
    messages: a conversation, which becomes a prompt and its response in place of `text` and
      `second`, see `chat`.
    answers: answers to the question `text`, with their places in the context `second`, see
      `questions`.
  """

  text: str = "text"
  second: str | None = None
  label: str | None = None
  score: str | None = None
  tags: str | None = None
  messages: str | None = None
  answers: str | None = None

  def __post_init__(self):
    if self.answers is not None and self.second is None:
      raise ValueError("second: found None, expected the field of the contexts of `answers`")
    others = {name: getattr(self, name) for name in ("label", "score", "tags", "messages")}
    if self.answers is not None and (found := [n for n, v in others.items() if v is not None]):
      raise ValueError(f"{found[0]}={others[found[0]]}: expected None beside answers")

  def names(self) -> list[str]:
    """The names of all fields that a record must have."""
    named = dataclasses.asdict(self)
    if self.messages is not None:
      del named["text"], named["second"]
    return [name for name in named.values() if name is not None]

  def document(self, record: Any, *, key: str, split: str | None = None) -> Document | Unreadable:
    """Makes a document of a record, or says why it is none.

    Args:
      record: fields by name, if it is well-formed.
      key: the key of the document.
      split: the split of the document; None where the source has none.
    """
    if not isinstance(record, Mapping):
      return Unreadable(key, "not a record of fields")
    values = {name: value_at(record, name) for name in self.names()}
    missing = [name for name, value in values.items() if value is None]
    if missing:
      return Unreadable(key, f"no field '{missing[0]}'")
    try:
      words, tags = self._tagged(values)
      text, second = (" ".join(words), None) if words is not None else self._texts(values)
      return Document(
        key=key,
        text=text,
        second=second,
        label=None if self.label is None else _name(values[self.label], self.label),
        score=None if self.score is None else _number(values[self.score], self.score),
        words=words,
        tags=tags,
        answers=None if self.answers is None else answers_of(values[self.answers]),
        split=split,
      )
    except _Wrong as error:
      return Unreadable(key, str(error))
    except NoAnswers as error:
      return Unreadable(key, f"'{self.answers}' has {error}")

  def _texts(self, values: Mapping) -> tuple[str, str | None]:
    """The text, and the second one if there is one."""
    if self.messages is not None:
      try:
        return prompt_and_response(values[self.messages])
      except NoChat as error:
        raise _Wrong(f"'{self.messages}' has {error}") from None
    second = None if self.second is None else _text(values[self.second], self.second)
    return _text(values[self.text], self.text), second

  def _tagged(self, values: Mapping) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    if self.tags is None:
      return None, None
    words, tags = values[self.text], values[self.tags]
    if not isinstance(words, (list, tuple)) or not isinstance(tags, (list, tuple)):
      raise _Wrong(f"'{self.text}' and '{self.tags}' are not lists")
    if len(words) != len(tags):
      raise _Wrong(f"'{self.tags}' has another length than '{self.text}'")
    named = tuple(_name(tag, self.tags) for tag in tags)
    return tuple(_one_text(word, self.text) for word in words), named


def value_at(record: Mapping, name: str) -> Any:
  """The field of a record by its name; with dots, "a.b", that of the field within it, too."""
  found = record.get(name)
  if found is not None or "." not in name:
    return found
  outer, _, rest = name.partition(".")
  inner = record.get(outer)
  return value_at(inner, rest) if isinstance(inner, Mapping) else None


def _text(value: Any, name: str) -> str:
  """A text, or the texts of a list as paragraphs."""
  if isinstance(value, (list, tuple)):
    return "\n".join(_one_text(part, name) for part in value)
  return _one_text(value, name)


def _one_text(value: Any, name: str) -> str:
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
    return _one_text(value, name)
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
