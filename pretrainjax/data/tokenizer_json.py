"""Checks a tokenizer.json before `tokenizers` reads it, which would end the process over some."""

import base64
import binascii
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretrainjax.errors import UserError
from pretrainjax.untrusted import parse_json, read_text

MAX_BYTES = 1 << 28
MAX_TOKENS = 1 << 24  # a table of embeddings has a row for each
_MOST_GROWTH = 4096  # of a text, by all replacements of characters together


def read(path: Path, *, inside: Path | None = None) -> str:
  """The text of a tokenizer.json, unless the file is absurdly large.

  Raises:
    BadFile: for one that cannot be read, or that no memory should hold.
  """
  return read_text(path, limit=MAX_BYTES, inside=inside)


def check(text: str) -> None:
  """Refuses a tokenizer.json that the library would need much memory or endless time for.

  Args:
    text: the text of the file.

  Raises:
    ValueError: saying what is wrong.
  """
  found = parse_json(text)
  growth = 1
  for step in _steps(found.get("normalizer") if isinstance(found, dict) else None):
    kind = step.get("type")
    if kind == "Precompiled":
      _check_table(step.get("precompiled_charsmap"))
    if kind in ("Replace", "Prepend"):
      growth *= max(len(str(step.get("content", step.get("prepend", "")))), 1)
      pattern = step.get("pattern", "-")
      if "" in (pattern.values() if isinstance(pattern, dict) else (pattern,)):
        raise ValueError("a normalizer replaces the empty text, which stands everywhere")
  if growth > _MOST_GROWTH:
    raise ValueError(f"its normalizers make a text {growth} times as long")


@contextlib.contextmanager
def refused(where: Path | str, what: str) -> Iterator[None]:
  """Turns whatever `tokenizers` raises into a UserError.

  Args:
    where: the path of the tokenizer's file.
    what: the mistake in words, for the message.
  """
  try:
    yield
  except UserError:
    raise
  except BaseException as error:  # a panic of Rust is no Exception
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
      raise
    raise UserError(f"{where}: {what} ({' '.join(str(error).split())[:300]})") from error


def _steps(value: Any) -> Iterator[dict[str, Any]]:
  """A normalizer, and those in it."""
  if isinstance(value, dict):
    yield value
    for inner in value.get("normalizers") or ():
      yield from _steps(inner)


def _check_table(encoded: Any) -> None:
  """SentencePiece's table of characters: 4 bytes with the size of its trie come first."""
  try:
    table = base64.b64decode(encoded, validate=True)
  except (TypeError, ValueError, binascii.Error):
    raise ValueError("precompiled_charsmap is no base64") from None
  size = int.from_bytes(table[:4], "little") if len(table) >= 4 else math.inf
  if size % 4 or size > len(table) - 4:
    raise ValueError("precompiled_charsmap is cut short")
