"""Words with their tags in columns, one word a line and an empty line behind each sentence."""

import re
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from typing import Literal, NamedTuple

from pretrainjax.data.records import LONGEST_LINE, lines

_DOCUMENT = "-DOCSTART-"
_ENTITY = re.compile(r"O|[BIESLU]-\S+")
_NUM_UNIVERSAL = 10  # columns of CoNLL-U
_SEVERAL = re.compile(r"\d+[-.]\d+")  # of CoNLL-U: "3-4" for words 3 and 4, "5.1" for none
_SAMPLE = 400  # lines
_MOST_WORDS = 100_000


class Sentence(NamedTuple):
  """One sentence, by columns.

  Attributes:
    line: the number of its first line.
    columns: "1", "2" and so on, each with a cell for every word.
  """

  line: int
  columns: dict[str, list[str]]


class Broken(NamedTuple):
  """What is no sentence: its first line, and why in a few words."""

  line: int
  reason: str


def sentences(file: BufferedIOBase, *, is_universal: bool = False) -> Iterator[Sentence | Broken]:
  """The sentences of a file.

  Args:
    file: from its beginning, in UTF-8.
    is_universal: whether it is of CoNLL-U, which has comments, and lines for several words.
  """
  rows: list[list[str]] = []
  start = 1
  for number, line in enumerate(lines(file), 1):
    cells = _cells(line)
    if isinstance(cells, str):
      yield Broken(number, cells)
    elif len(rows) == _MOST_WORDS:
      yield Broken(start, f"sentence of more than {_MOST_WORDS:,} words")
      rows = []
    elif not cells or cells[0] == _DOCUMENT:
      if rows:
        yield _sentence(rows, start)
      rows = []
    elif not (is_universal and (cells[0].startswith("#") or _SEVERAL.fullmatch(cells[0]))):
      start = start if rows else number
      rows.append(cells)
  if rows:
    yield _sentence(rows, start)


def _sentence(rows: Sequence[Sequence[str]], start: int) -> Sentence | Broken:
  width = max(len(rows[0]), 2)
  odd = next((len(row) for row in rows if len(row) != width), None)
  if odd is not None:
    return Broken(start, f"{odd} columns in a line, expected {width}")
  columns = {str(place + 1): [row[place] for row in rows] for place in range(width)}
  return Sentence(start, columns)


def columns_of(head: bytes) -> Literal["columns", "conllu"] | None:
  """What columns a file holds whose name does not say it; None for none.

  Words with tags of entities are columns, all lines with as many, the last one of such tags; those
  of CoNLL-U are ten, and the first one numbers the words.

  Args:
    head: the beginning of the file, in UTF-8.
  """
  found = [_cells(line) for line in head.splitlines()[:_SAMPLE][:-1]]
  if any(isinstance(cells, str) for cells in found):
    return None
  rows = [cells for cells in found if cells and cells[0] != _DOCUMENT]
  if _are_alike(rows) and all(_ENTITY.fullmatch(row[-1]) for row in rows):
    return "columns"
  rows = [cells for cells in rows if not cells[0].startswith("#")]
  is_universal = _are_alike(rows) and len(rows[0]) == _NUM_UNIVERSAL
  if is_universal and all(row[0].isdecimal() or _SEVERAL.fullmatch(row[0]) for row in rows):
    return "conllu"
  return None


def _are_alike(rows: Sequence[Sequence[str]]) -> bool:
  """Whether there are two rows at least, of as many cells, which are several."""
  return len(rows) > 1 and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1


def _cells(line: bytes | None) -> list[str] | str:
  """The cells of a line, none of an empty one; or in words what is wrong with it."""
  if line is None:
    return f"line of more than {LONGEST_LINE >> 20} MiB"
  try:
    text = line.decode().strip(" \t\r\n")
  except UnicodeDecodeError:
    return "not UTF-8"
  return re.split("\t" if "\t" in text else " +", text) if text else []
