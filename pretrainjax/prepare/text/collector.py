"""Documents are cleaned, compared with those seen before, and kept in the file of their split."""

from pathlib import Path

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Opened
from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.duplicates import Duplicates, Seen
from pretrainjax.prepare.text.text_tally import TextTally

_MAX_CLASSES = 65_000
_SEEN = {"exact": "duplicate", "near": "near duplicate"}


def documents_file(folder: Path, split: str) -> Path:
  """The path of the file that holds the documents of a split."""
  return folder / f"documents-{split}.jsonl"


class DocumentCollector:
  """Decides which documents are kept, in what form and where."""

  def __init__(
    self,
    opened: Opened,
    files: Appended,
    *,
    cleaning: Cleaning,
    duplicates: Duplicates,
    holdout: Holdout,
  ):
    assert isinstance(opened.tally, TextTally)
    self._tally, self._folder, self._files = opened.tally, opened.folder, files
    self._cleaning, self._holdout = cleaning, holdout
    self._seen = Seen(duplicates, opened.journal.database)

  def drop(self, key: str, reason: str) -> None:
    """Notes nothing: the few keys that the tally keeps are enough."""

  def take(self, example: Document) -> str | None:
    """Keeps a document, or says why not."""
    document = cleaned(example, self._cleaning)
    reason = self._why_not(document)
    if reason:
      return reason
    split = document.split or self._holdout.split_of(document.group or document.text)
    file = documents_file(self._folder, split).name
    self._files.append(file, document.to_json().encode() + b"\n")
    self._tally.keep_document(document, split)
    if max(len(self._tally.labels), len(self._tally.tags)) > _MAX_CLASSES:
      raise UserError(f"{document.key}: more than {_MAX_CLASSES} classes, expected names of a few")
    return None

  def _why_not(self, document: Document) -> str | None:
    if document.second == "":
      return "second text is empty"
    reason = self._cleaning.why_not(document.text)
    return reason or _SEEN.get(self._seen.add(document.text, document.second) or "")


def cleaned(document: Document, cleaning: Cleaning) -> Document:
  """Cleans every text of a document; words that vanish take their tags with them."""
  second = None if document.second is None else cleaning.clean(document.second)
  if document.words is None:
    return document._replace(text=cleaning.clean(document.text), second=second)
  words = ("".join(cleaning.clean(word).split()) for word in document.words)
  pairs = [(word, tag) for word, tag in zip(words, document.tags or (), strict=True) if word]
  return document._replace(
    text=" ".join(word for word, _ in pairs),
    words=tuple(word for word, _ in pairs),
    tags=tuple(tag for _, tag in pairs),
    second=second,
  )
