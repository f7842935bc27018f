"""What is counted while documents come by."""

import dataclasses
import re
from typing import Any

_KEYS = 5  # shown of each reason


@dataclasses.dataclass
class Tally:
  """Counts, for the report and for what comes later; plain, so that a journal can keep them.

  Attributes:
    documents: kept, by split.
    bytes: of their text (of both texts of a pair) in UTF-8, by split.
    dropped: how many, by reason.
    dropped_keys: the first few, by reason.
    faults: how many of those should have been documents.
    labels: how many, by class.
    tags: likewise.
    has: which of second, label, score, words, split any document has.
  """

  documents: dict[str, int] = dataclasses.field(default_factory=dict)
  bytes: dict[str, int] = dataclasses.field(default_factory=dict)
  dropped: dict[str, int] = dataclasses.field(default_factory=dict)
  dropped_keys: dict[str, list[str]] = dataclasses.field(default_factory=dict)
  faults: int = 0
  labels: dict[str, int] = dataclasses.field(default_factory=dict)
  tags: dict[str, int] = dataclasses.field(default_factory=dict)
  has: list[str] = dataclasses.field(default_factory=list)

  def drop(self, key: str, reason: str) -> None:
    """Counts what is left out."""
    self.dropped[reason] = self.dropped.get(reason, 0) + 1
    keys = self.dropped_keys.setdefault(reason, [])
    if len(keys) < _KEYS:
      keys.append(key)

  def keep(self, document: Any, split: str) -> None:
    """Counts a `Document`."""
    size = len(document.text.encode()) + len((document.second or "").encode())
    self.documents[split] = self.documents.get(split, 0) + 1
    self.bytes[split] = self.bytes.get(split, 0) + size
    if document.label is not None:
      self.labels[document.label] = self.labels.get(document.label, 0) + 1
    for tag in document.tags or ():
      self.tags[tag] = self.tags.get(tag, 0) + 1
    for name in ("second", "label", "score", "words", "split"):
      if getattr(document, name) is not None and name not in self.has:
        self.has.append(name)


def names_in_order(counts: dict[str, int]) -> list[str]:
  """Names of classes: numbers by value, words by spelling, "O" (no entity) first."""
  if all(re.fullmatch("-?[0-9]{1,40}", name) for name in counts):
    return sorted(counts, key=int)
  return sorted(counts, key=lambda name: (name != "O", name))
