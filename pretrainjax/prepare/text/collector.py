"""Documents are cleaned, compared with those seen before, and kept in the file of their split."""

import dataclasses
from pathlib import Path

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Corpus, Opened
from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.duplicates import Duplicates, Seen
from pretrainjax.prepare.text.form import Form
from pretrainjax.prepare.text.questions import placed
from pretrainjax.prepare.text.text_tally import TextTally

_MAX_CLASSES = 65_000
_NO_SECOND = "second text is empty"
_SEEN = {"exact": "duplicate", "near": "near duplicate"}


def documents_file(folder: Path, split: str) -> Path:
  """The path of the file that holds the documents of a split."""
  return folder / f"documents-{split}.jsonl"


def lacks_validation(corpus: Corpus) -> bool:
  """Whether a source gives splits, but none to choose by."""
  return bool(corpus.splits) and "train" in corpus.splits and "validation" not in corpus.splits


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
    form: Form,
  ):
    assert isinstance(opened.tally, TextTally)
    self._tally, self._folder, self._files = opened.tally, opened.folder, files
    self._cleaning, self._duplicates = cleaning, duplicates
    self._holdout, self._form = holdout, form
    self._seen = Seen(duplicates, opened.journal.database)
    exact = dataclasses.replace(duplicates, near=False)
    self._seen_questions = Seen(exact, opened.journal.database)
    # A corpus that comes without a split to choose by gets one off its training documents.
    self._cuts_validation = lacks_validation(opened.corpus)

  def drop(self, key: str, reason: str) -> None:
    """Notes nothing: the few keys that the tally keeps are enough."""

  def take(self, example: Document) -> str | None:
    """Keeps a document, or says why not."""
    document = cleaned(example, self._cleaning)
    is_kept_whole = self._is_of_whole_split(document)
    reason = self._why_not_given(document) if is_kept_whole else self._why_not(document)
    if reason:
      return reason
    split = self._split_of(document, is_kept_whole=is_kept_whole)
    file = documents_file(self._folder, split).name
    self._files.append(file, document.to_json().encode() + b"\n")
    self._tally.keep_document(document, split)
    if max(len(self._tally.labels), len(self._tally.tags)) > _MAX_CLASSES:
      raise UserError(f"{document.key}: more than {_MAX_CLASSES} classes, expected names of a few")
    return None

  def _is_of_whole_split(self, document: Document) -> bool:
    """Whether it is an example of a split that the source gives, which stays as it is."""
    is_example = self._form.kind == "examples" or (
      self._form.kind == "auto" and document.is_example
    )
    return is_example and document.split is not None and self._duplicates.given != "drop"

  def _split_of(self, document: Document, *, is_kept_whole: bool) -> str:
    content = document.split_key
    if document.split is None:
      return self._holdout.split_of(content)
    if document.split == "train" and self._cuts_validation and not is_kept_whole:
      return "validation" if self._holdout.split_of(content) == "validation" else "train"
    return document.split

  def _why_not_given(self, document: Document) -> str | None:
    """Only what is no example goes; what stood there before is counted."""
    if document.second == "":
      return _NO_SECOND
    reason = dataclasses.replace(self._cleaning, repetition=False).why_not(document.text)
    if reason:
      return reason
    split = str(document.split)
    before = self._seen.first_split(document.text, document.second, split=split)
    if before is not None:
      where = f"{split} and {before}" if before != split else f"{split} twice"
      self._tally.overlap(document.key, where)
    is_dropped = self._duplicates.given == "drop_train" and split == "train"
    return f"stands in {before}, too" if is_dropped and before not in (None, split) else None

  def _why_not(self, document: Document) -> str | None:
    if document.second == "":
      return _NO_SECOND
    reason = self._cleaning.why_not(document.text)
    # Questions of one context are nearly equal by all their words.
    seen = self._seen if document.answers is None else self._seen_questions
    return reason or _SEEN.get(seen.add(document.text, document.second) or "")


def cleaned(document: Document, cleaning: Cleaning) -> Document:
  """Cleans every text of a document; words that vanish take their tags, answers change places."""
  if document.answers is not None:
    return placed(document, cleaning.replaced)
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
