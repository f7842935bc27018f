"""Texts of a user's file as rows of tokens, encoded part by part."""

import argparse
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.predict.embedding import embed_texts, tokenizer_of, with_begin_and_end
from pretrainjax.predict.encoded_inputs import Part
from pretrainjax.predict.texts import digest_of_texts, read_texts, text_field
from pretrainjax.types import Encoder
from pretrainjax.user_path import user_path

# Texts a part: what a command that is stopped loses at most.
_PART = 4096


@dataclasses.dataclass(frozen=True)
class Texts:
  """The texts of a file, see `encoded_inputs.Inputs`.

  Attributes:
    path: the file of the texts.
    field: the key or column of the texts.
    encoding: the encoding of the file, unless it has a byte order mark.
    tokenizer: the tokenizer of the run.
    num_examples: the number of texts.
    batch_size: texts that are encoded at once.
    reading: where the file is being read: the next text's number, and what yields it.
  """

  path: Path
  field: str
  encoding: str
  tokenizer: Tokenizer
  num_examples: int
  batch_size: int
  reading: list[Any] = dataclasses.field(default_factory=list)
  kind: ClassVar[str] = "texts"

  @property
  def part_size(self) -> int:
    """Texts of a part."""
    return _PART

  def identity(self) -> dict[str, Any]:
    """See `Inputs`."""
    return {
      "input": digest_of_texts(self.path),
      "field": self.field,
      "encoding": self.encoding,
      "batch_size": self.batch_size,
      "tokenizer": self.tokenizer.fingerprint,
    }

  def texts(self) -> Iterator[str]:
    """The texts, in their order."""
    return read_texts(self.path, field=self.field, encoding=self.encoding)

  def encoded(self, encoder: Encoder, start: int, count: int) -> Part:
    """See `Inputs`; the names of texts, which they are themselves, are left out."""
    if not self.reading:
      self.reading[:] = (0, self.texts())
    place, texts = self.reading
    some = list(itertools.islice(texts, start - place, start - place + count))
    self.reading[0] = start + len(some)
    longest = getattr(encoder, "max_length", None)
    lists = self.tokenizer.encode_batch(some)
    rows = [with_begin_and_end(tokens, self.tokenizer, length=longest) for tokens in lists]
    features = embed_texts(encoder, rows, batch_size=self.batch_size)
    if not np.isfinite(features).all():
      raise UserError(
        "--workdir: scores of texts are not finite: the parameters have diverged; take an earlier "
        "checkpoint (WORKDIR@STEP)"
      )
    return Part(features)


def open_texts(loaded: Loaded, options: argparse.Namespace) -> Texts:
  """The texts of the file that a command line names.

  Args:
    loaded: the run that encodes them.
    options: the flags `input`, `batch_size` and those of `texts.add_flags`.

  Raises:
    UserError: for a file that is missing, of another kind, or holds no text.
  """
  if len(options.input) > 1:
    raise UserError(f"--input: found {len(options.input)} files of texts, expected one")
  path, encoding, tokenizer = user_path(options.input[0]), options.encoding, tokenizer_of(loaded)
  field = text_field(path, named=options.field, usual="text", flag="--input", encoding=encoding)
  num_texts = sum(1 for _ in read_texts(path, field=field, encoding=encoding))
  if not num_texts:
    raise UserError(f"--input: '{path}' holds no text")
  return Texts(path, field, encoding, tokenizer, num_texts, options.batch_size)
