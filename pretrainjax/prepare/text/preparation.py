"""What is done to documents: cleaned, compared, held out, then tokenized and packed."""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Encoded, Opened, Size
from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.text.cleaning import Cleaning
from pretrainjax.prepare.text.collector import DocumentCollector, documents_file
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.duplicates import Duplicates
from pretrainjax.prepare.text.encode import Counts, encode, read_records, records_file
from pretrainjax.prepare.text.fill import filled
from pretrainjax.prepare.text.form import Form, Layout
from pretrainjax.prepare.text.text_tally import TextTally, names_in_order
from pretrainjax.prepare.text.training import Tokenization, existing, make_tokenizer
from pretrainjax.user_path import user_path

TOKENIZER = "tokenizer.json"


@dataclasses.dataclass(frozen=True)
class TextPreparation:
  """The settings by which a dataset of texts is prepared.

  Attributes:
    cleaning: what is done to a text, and which are left out.
    duplicates: which documents count as seen before.
    holdout: which are held out where the source does not say.
    tokenizer: which tokenizer the dataset gets.
    form: the form of the records.
  """

  cleaning: Cleaning = Cleaning()
  duplicates: Duplicates = Duplicates()
  holdout: Holdout = Holdout()
  tokenizer: Tokenization = Tokenization()
  form: Form = Form()

  noun = "document"
  unreadable = "records cannot be read"

  def settings(self) -> dict[str, Any]:
    """Plain data that says what is done to the texts of the source.

    Raises:
      UserError: for a tokenizer that is not there.
    """
    options = dataclasses.asdict(self.tokenizer)
    path = options.pop("path")
    if path is not None:  # where it lies and how it was made do not matter
      options = {"fingerprint": existing(user_path(path)).fingerprint}
    parts = {"tokenizer": {"trained": path is None} | options}
    for name in ("form", "cleaning", "duplicates", "holdout"):
      parts[name] = dataclasses.asdict(getattr(self, name))
    return json.loads(json.dumps(parts))  # tuples become lists, as in what is read back

  def tally(self, facts: Mapping[str, Any]) -> TextTally:
    """Counts of documents, empty or as a journal kept them."""
    return TextTally(**facts)

  def collector(self, opened: Opened, files: Appended) -> DocumentCollector:
    """Keeps the documents of each split in a file."""
    return DocumentCollector(
      opened,
      files,
      cleaning=self.cleaning,
      duplicates=self.duplicates,
      holdout=self.holdout,
      form=self.form,
    )

  def encode(self, opened: Opened) -> Encoded:
    """Trains the tokenizer, then makes records of all documents."""
    tally, work = opened.tally, opened.folder
    assert isinstance(tally, TextTally)
    is_blocks = self.form.is_blocks(tally.has)
    documents = filled(opened, self.holdout, is_blocks=is_blocks)
    tokenizer = self._tokenizer(tally, work, documents)
    layout = self._layout(tally, opened.corpus.class_names, tokenizer)
    counts: dict[str, Counts] = {}
    for split in sorted(tally.kept, key=lambda split: (split != "train", split)):
      found = encode(
        split,
        form=self.form,
        layout=layout,
        tokenizer=tokenizer,
        journal=opened.journal,
        documents=documents,
        folder=work,
      )
      if found["examples"]:
        counts[split] = found
    if not counts:
      raise UserError(f"{opened.corpus.origin}: no document has a token")
    return Encoded(
      splits={split: Size(c["examples"], c["size"]) for split, c in counts.items()},
      features=layout.features(),
      records=lambda split, done: itertools.islice(
        read_records(records_file(work, split)), done, None
      ),
      report=self._report(tally, tokenizer, layout, counts),
      texts={TOKENIZER: iter([tokenizer.text])},
      info={"description": "Text as tokens, written by pretrainjax; prepared.json says from what."},
    )

  def _tokenizer(self, tally: TextTally, work: Path, documents: Path) -> Tokenizer:
    path = work / TOKENIZER
    if path.is_file():
      return Tokenizer.load(path)
    split = "train" if "train" in tally.kept else next(iter(tally.kept))

    def texts() -> Iterator[str]:
      with open(documents_file(documents, split), encoding="utf-8") as lines:
        for line in lines:
          document = Document.from_json(line)
          yield document.text
          if document.second is not None:
            yield document.second

    made = make_tokenizer(self.tokenizer, texts, size=tally.bytes[split])
    partial = path.with_suffix(".partial")
    partial.write_text(made.text, encoding="utf-8")
    os.replace(partial, path)
    return Tokenizer.load(path)

  def _layout(
    self, tally: TextTally, class_names: tuple[str, ...] | None, tokenizer: Tokenizer
  ) -> Layout:
    dtype = np.uint16 if tokenizer.vocab_size < 65_536 else np.int32
    if self.form.is_blocks(tally.has):
      return Layout(dtype, blocks=True)
    if self.form.unit != "document" and ("second" in tally.has or "words" in tally.has):
      what = "pairs" if "second" in tally.has else "tagged words"
      raise UserError(f"--config.form.unit: {what} cannot be cut, expected unit=document")
    if "answers" in tally.has:
      return Layout(dtype, blocks=False, second=True, windows=True)
    labelled = "label" in tally.has
    return Layout(
      dtype,
      blocks=False,
      second="second" in tally.has,
      class_names=(class_names or tuple(names_in_order(tally.labels))) if labelled else (),
      score="score" in tally.has,
      tag_names=tuple(names_in_order(tally.tags)),
    )

  def _report(
    self, tally: TextTally, tokenizer: Tokenizer, layout: Layout, counts: dict[str, Counts]
  ) -> dict[str, Any]:
    shown = ("examples", "documents", "tokens", "bytes", "unknown")
    questions = self._of_questions(tally, counts) if layout.windows else {}
    empty = sum(found["empty"] for found in counts.values())
    return {
      "form": "blocks" if layout.blocks else "examples",
      "length": self.form.length if layout.blocks else None,
      "vocab_size": tokenizer.vocab_size,
      "tokenizer": tokenizer.fingerprint,
      "class_names": list(layout.class_names),
      "tag_names": list(layout.tag_names),
      "splits": {split: {name: c[name] for name in shown} for split, c in counts.items()},
      "labels": tally.labels,
      "read": tally.num_read,
      "dropped": tally.dropped | ({"no token": empty} if empty else {}),
      "dropped_keys": tally.dropped_keys,
      "overlaps": tally.overlaps,
      "overlap_keys": tally.overlap_keys,
      "long_documents": tally.long,
      "long_document_keys": tally.long_keys,
    } | questions

  def _of_questions(self, tally: TextTally, counts: dict[str, Counts]) -> dict[str, Any]:
    return {
      "window": self.form.window,
      "stride": self.form.stride,
      "questions": tally.questions,
      "unanswered": tally.unanswered,
      "misplaced": tally.misplaced,
      "misplaced_keys": tally.misplaced_keys,
      "unplaced": sum(found["unplaced"] for found in counts.values()),
    }
