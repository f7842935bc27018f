"""What is counted of documents, beside what is counted of all examples."""

import dataclasses
import re

from pretrainjax.prepare.stages.tally import KEYS, Tally
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.questions import whereabouts


@dataclasses.dataclass
class TextTally(Tally):
  """Counts of documents, beside those of all examples.

  Attributes:
    bytes: the bytes of their text (of both texts of a pair) in UTF-8, by split.
    labels: the number of documents, by class.
    tags: the number of words, by tag.
    has: which of second, label, score, words, answers, split any document has.
    overlaps: how many examples of given splits stood there before, by where: "train and test".
    overlap_keys: the first few, likewise.
    long: how many documents came in pieces, for their length.
    long_keys: the first few.
    questions: how many documents are questions with a context.
    unanswered: how many of these have no answer.
    misplaced: how many answers do not stand where their source says, by where they do.
    misplaced_keys: the first few questions, likewise.
  """

  bytes: dict[str, int] = dataclasses.field(default_factory=dict)
  labels: dict[str, int] = dataclasses.field(default_factory=dict)
  tags: dict[str, int] = dataclasses.field(default_factory=dict)
  has: list[str] = dataclasses.field(default_factory=list)
  overlaps: dict[str, int] = dataclasses.field(default_factory=dict)
  overlap_keys: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  long: int = 0
  long_keys: list[str] = dataclasses.field(default_factory=list)
  questions: int = 0
  unanswered: int = 0
  misplaced: dict[str, int] = dataclasses.field(default_factory=dict)
  misplaced_keys: dict[str, list[str]] = dataclasses.field(default_factory=dict)

  def keep_document(self, document: Document, split: str) -> None:
    """Counts a document that is kept."""
    self.keep(split)
    size = len(document.text.encode()) + len((document.second or "").encode())
    self.bytes[split] = self.bytes.get(split, 0) + size
    if document.label is not None:
      self.labels[document.label] = self.labels.get(document.label, 0) + 1
    for tag in document.tags or ():
      self.tags[tag] = self.tags.get(tag, 0) + 1
    for name in ("second", "label", "score", "words", "answers", "split"):
      if getattr(document, name) is not None and name not in self.has:
        self.has.append(name)
    if document.group is not None and document.key == f"{document.group}#0":
      self.long += 1
      self.long_keys = [*self.long_keys, document.group][:KEYS]
    if document.answers is not None:
      self._keep_question(document)

  def _keep_question(self, document: Document) -> None:
    self.questions += 1
    self.unanswered += not document.answers
    for answer in document.answers or ():
      if answer.start < 0:
        where = whereabouts(document.second or "", answer.text)
        self.misplaced[where] = self.misplaced.get(where, 0) + 1
        keys = self.misplaced_keys.get(where, [])
        self.misplaced_keys[where] = list(dict.fromkeys([*keys, document.key]))[:KEYS]

  def overlap(self, key: str, splits: str) -> None:
    """Counts an example that stood there before, in its own split or in another one."""
    self.overlaps[splits] = self.overlaps.get(splits, 0) + 1
    self.overlap_keys[splits] = [*self.overlap_keys.get(splits, []), key][:KEYS]


def names_in_order(counts: dict[str, int]) -> list[str]:
  """Sorts names of classes: numbers by value, words by spelling, "O" (no entity) first."""
  if all(re.fullmatch("-?[0-9]{1,40}", name) for name in counts):
    return sorted(counts, key=int)
  return sorted(counts, key=lambda name: (name != "O", name))
