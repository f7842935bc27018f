"""Tables of text: .csv and .tsv, with quotes or without, with a header or without."""

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pretrainjax.data.records import LONGEST_LINE, lines

_SAMPLE = 1 << 18  # bytes
_ROWS = 200
# Names that columns of texts have; a first row that holds one of them is a header.
NAMES = frozenset(
  (
    "text sentence sentence1 sentence2 sentence_a sentence_b content document review body prompt "
    "response premise hypothesis question question1 question2 answer query passage context tweet "
    "comment title label labels class category sentiment target score similarity rating source "
    "input output instruction completion id idx index text1 text2 text_a text_b message summary "
    "article intent emotion topic language lang url date genre filename file name"
  ).split()
)


class Dialect(NamedTuple):
  """How a table is written.

  Attributes:
    delimiter: between two cells.
    quoted: whether a cell in quotes may hold delimiters and newlines.
    names: of the columns; "1", "2" and so on where there is no header.
    header: whether the first row names them.
  """

  delimiter: str
  quoted: bool
  names: tuple[str, ...]
  header: bool


def dialect_of(
  file: io.BufferedIOBase, *, is_tsv: bool, header: bool | None = None
) -> Dialect | None:
  """Looks at the beginning of a table; None where there is no row.

  Args:
    file: from its beginning, in UTF-8.
    is_tsv: whether tabs are between cells; else what cuts the first rows most evenly.
    header: whether there is one; None goes by the first row.
  """
  sample = file.read(_SAMPLE)
  is_whole = len(sample) < _SAMPLE
  choices = [
    (_evenness(rows), delimiter, quoted, rows)
    for delimiter in ("\t" if is_tsv else ",;\t|")
    for quoted in (True, False)
    if (rows := _sample_rows(sample, delimiter, quoted, is_whole=is_whole))
  ]
  if not choices or max(choices, key=lambda choice: choice[0])[0] == 0:
    return None
  # Of equals the first. A quote that opens a cell and closes none makes rows uneven.
  _, delimiter, quoted, found = max(choices, key=lambda choice: choice[0])
  rows = [row for row in found if not isinstance(row, str)]
  has_header = _is_header(rows) if header is None else header
  width = max(len(row) for row in rows[:_ROWS])
  given = [name.strip() for name in rows[0]] if has_header else [""] * width
  names = tuple(name or str(place) for place, name in enumerate(given, 1))
  return Dialect(delimiter, quoted, names, has_header)


def table_rows(file: io.BufferedIOBase, dialect: Dialect) -> Iterator[dict[str, str] | str]:
  """The rows of a table as cells by column, or in words what is wrong with one.

  Args:
    file: from its beginning, in UTF-8.
    dialect: how it is written.
  """
  rows = _rows(file, dialect.delimiter, dialect.quoted)
  if dialect.header:
    next(rows, None)
  width = len(dialect.names)
  for row in rows:
    if isinstance(row, str):
      yield row
    elif row and len(row) != width:
      yield f"{len(row)} columns, expected {width}"
    elif row:
      yield dict(zip(dialect.names, row, strict=True))


class _Lines:
  """Lines of a table, an empty one in place of what is none.

  Attributes:
    fault: what was wrong with the last one, in words; None for nothing.
  """

  def __init__(self, file: io.BufferedIOBase):
    self._lines = lines(file)
    self.fault: str | None = None

  def __iter__(self) -> Iterator[str]:
    for line in self._lines:
      try:
        text = None if line is None else line.decode()
        self.fault = f"row of more than {LONGEST_LINE >> 20} MiB" if line is None else None
      except UnicodeDecodeError:
        text, self.fault = None, "not UTF-8"
      yield text or "\n"


def _rows(
  file: io.BufferedIOBase, delimiter: str, quoted: bool, *, strict: bool = False
) -> Iterator[list[str] | str]:
  """The rows, or in words what is wrong with one; `strict` finds stray quotes, too."""
  found = _Lines(file)
  quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
  rows = csv.reader(iter(found), delimiter=delimiter, quoting=quoting, strict=strict)
  while True:
    before = csv.field_size_limit(LONGEST_LINE)  # the module's own is 128 KiB
    try:
      row: list[str] | str = next(rows)
    except StopIteration:
      return
    except csv.Error as error:
      is_long = "larger" in str(error)
      row = f"row of more than {LONGEST_LINE >> 20} MiB" if is_long else "broken row"
    finally:
      csv.field_size_limit(before)
    yield found.fault or row


def _sample_rows(
  sample: bytes, delimiter: str, quoted: bool, *, is_whole: bool
) -> list[list[str] | str]:
  file = io.BytesIO(sample)
  found = itertools.islice(_rows(file, delimiter, quoted, strict=True), _ROWS + 1)
  rows = [row for row in found if row]
  return rows if is_whole or len(rows) < 2 else rows[:-1]  # the last one may be cut


def _evenness(rows: Sequence[list[str] | str]) -> float:
  """The share of rows that have as many cells as the first; several columns go before one."""
  if isinstance(rows[0], str):
    return 0.0
  share = sum(not isinstance(row, str) and len(row) == len(rows[0]) for row in rows) / len(rows)
  return share if len(rows[0]) > 1 else 0.1 * share


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
  """Whether the first row names columns: by known names, or as it is unlike the rows below."""
  first, rest = [cell.strip() for cell in rows[0]], rows[1:_ROWS]
  if len(set(first)) < len(first) or any(_is_number(cell) for cell in first):
    return False
  if any(cell.lower() in NAMES for cell in first):
    return True
  columns = list(zip(*(row for row in rest if len(row) == len(first)), strict=True))
  comes_again = any(cell in column for cell, column in zip(first, columns, strict=False))
  if not columns or comes_again or any(len(cell.split()) > 3 for cell in first):
    return False
  if any(all(map(_is_number, column)) for column in columns):
    return True
  one_word = all(len(cell.split()) == 1 for cell in first)
  return one_word and any(all(len(c.split()) > 1 for c in column) for column in columns)


def _is_number(cell: str) -> bool:
  try:
    float(cell)
  except ValueError:
    return False
  return True
