"""A document on its way from a source to a dataset."""

import json
from typing import NamedTuple


class Answer(NamedTuple):
  """An answer to a question.

  Attributes:
    text: a piece of the question's context.
    start: the place of its first character there; below 0 where it does not stand where its source
      says.
  """

  text: str
  start: int


class Document(NamedTuple):
  """One document, as its source has it.

  Attributes:
    key: the name of its place, unique in the dataset.
    text: the words joined by spaces where there are `words`.
    second: the other text of a pair, the response to a prompt, or the context of a question.
    label: the name of its class.
    score: a number to be predicted.
    words: the words of a text whose words have tags.
    tags: the tag of each word.
    answers: to the question `text`, which stand in `second`; () where it has none there.
    split: the name of its split where the source says so; None leaves it to the hash of `group`.
    group: parts of one document have one group, and so one split, see `split_key`.
  """

  key: str
  text: str
  second: str | None = None
  label: str | None = None
  score: float | None = None
  words: tuple[str, ...] | None = None
  tags: tuple[str, ...] | None = None
  answers: tuple[Answer, ...] | None = None
  split: str | None = None
  group: str | None = None

  @property
  def split_key(self) -> str:
    """What decides the split where the source does not; questions of one context share theirs."""
    if self.group is not None:
      return self.group
    return self.text if self.answers is None or self.second is None else self.second

  @property
  def is_example(self) -> bool:
    """Whether it is more than a text: a pair, labelled, scored or tagged."""
    more = (self.second, self.label, self.score, self.words)
    return any(part is not None for part in more)

  def to_json(self) -> str:
    """The document as one line of JSON, without what is absent."""
    return json.dumps({k: v for k, v in self._asdict().items() if v is not None})

  @classmethod
  def from_json(cls, line: str) -> "Document":
    """The inverse of `to_json`."""
    facts = json.loads(line)
    for name in ("words", "tags"):
      if name in facts:
        facts[name] = tuple(facts[name])
    if "answers" in facts:
      facts["answers"] = tuple(Answer(*pair) for pair in facts["answers"])
    return cls(**facts)
