"""Between the stages: the transcripts' tokenizer, and what their tokens are."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.data.transcripts import Rule, normalized
from pretrainjax.prepare.audio.table import AudioTable
from pretrainjax.prepare.contract import Opened
from pretrainjax.prepare.text.training import Tokenization, make_tokenizer

TOKENIZER = "tokenizer.json"
_PLAIN = "transcripts.txt"
_AT_ONCE = 1024


class Transcripts:
  """The transcripts of a dataset, as tokens.

  Attributes:
    tokenizer: trained on the training split, or taken from elsewhere.
    rule: how transcripts are normalised before.
  """

  def __init__(self, tokenizer: Tokenizer, rule: Rule):
    self.tokenizer, self.rule = tokenizer, rule

  @property
  def dtype(self) -> type:
    """The dtype of stored ids."""
    return np.uint16 if self.tokenizer.vocab_size < 65_536 else np.int32

  def packed(self, text: str) -> bytes:
    """The ids of a transcript as they are stored."""
    ids = self.tokenizer.encode(normalized(text, self.rule))
    return np.asarray(ids, self.dtype).tobytes()

  def facts(self, texts: Iterator[str]) -> dict[str, Any]:
    """What is counted of all transcripts."""
    longest = total = unknown = 0
    while batch := [text for _, text in zip(range(_AT_ONCE), texts, strict=False)]:
      for ids in self.tokenizer.encode_batch([normalized(text, self.rule) for text in batch]):
        longest, total = max(longest, len(ids)), total + len(ids)
        unknown += ids.count(self.tokenizer.unknown_id)
    return {
      "transcript_length": longest,
      "transcript_rule": self.rule,
      "tokens": total,
      "unknown_tokens": unknown,
      "vocab_size": self.tokenizer.vocab_size,
      "tokenizer": self.tokenizer.fingerprint,
    }


def transcripts_of(
  opened: Opened, table: AudioTable, *, options: Tokenization, rule: Rule
) -> Transcripts:
  """The transcripts with their tokenizer, which is made once.

  Args:
    opened: the job, in whose folder the tokenizer is kept.
    table: of all sounds, whose splits are known.
    options: the kind of the tokenizer, or its path.
    rule: how transcripts are normalised.
  """
  path, plain = opened.folder / TOKENIZER, opened.folder / _PLAIN
  if not path.is_file():
    split = next(iter(table.sizes()))  # "train", where there is one
    # A file, since `tokenizers` reads in a thread, in which the table cannot be asked.
    with open(plain, "w", encoding="utf-8") as lines:
      lines.writelines(f"{normalized(text, rule)}\n" for text in table.texts(split))
    made = make_tokenizer(options, lambda: _lines(plain), size=plain.stat().st_size)
    _write(path, made.text)
  return Transcripts(Tokenizer.load(path), rule)


def _lines(path: Path) -> Iterator[str]:
  with open(path, encoding="utf-8") as lines:
    yield from (line.rstrip("\n") for line in lines)


def _write(path: Path, text: str) -> None:
  partial = path.with_suffix(".partial")
  partial.write_text(text, encoding="utf-8")
  os.replace(partial, path)
