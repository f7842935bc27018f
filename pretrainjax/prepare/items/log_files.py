"""Files of logs as columns of many rows at once, and tables as rows, in whatever state they are."""

import dataclasses
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv, json

from pretrainjax.data.records import LONGEST_LINE, Damaged, batches, column_names, parsed, rows
from pretrainjax.data.records import lines as lines_of
from pretrainjax.errors import one_line
from pretrainjax.prepare.contract import Reached, Remark, Unreadable
from pretrainjax.prepare.items.columns import has_names
from pretrainjax.prepare.items.log_streams import SEPARATOR, Single, Until
from pretrainjax.prepare.text.streams import COMPRESSED, NoText, TextStream, open_text
from pretrainjax.prepare.text.tables import Dialect, dialect_of, table_rows

_FLAG = "--config.source.encoding"
_BLOCK = 1 << 24  # bytes of a file that are read at once
_ROWS = 1 << 19  # of a .parquet, likewise
_HEAD, _HEAD_ROWS = 1 << 18, 200
# RecBole's: tabs, no quotes, names with types, "user_id:token".
ATOMIC = (".inter", ".item", ".user")
_KINDS = {".csv": "table", ".tsv": "table", ".txt": "table", ".dat": "table", ".data": "table"}
_KINDS |= dict.fromkeys(ATOMIC, "table") | {".jsonl": "jsonl", ".ndjson": "jsonl"}
_KINDS |= {".parquet": "parquet"}


class Rows(NamedTuple):
  """Some rows of a file.

  Attributes:
    batch: the columns that were asked for.
    first: the number of the first row in the file: lines of text with the header, from 1.
    skipped: the numbers from `first` on of what is no row, in order; those beyond do not matter.
  """

  batch: pa.RecordBatch
  first: int
  skipped: Sequence[int] = ()

  def number(self, place: int) -> int:
    """The number in the file of a row of the batch.

    Args:
      place: the row's place in the batch.
    """
    before = np.array(self.skipped, np.int64) - self.first - np.arange(len(self.skipped))
    return self.first + place + int(np.searchsorted(before, place, side="right"))


Block = Rows | Unreadable | Remark | Reached
SUFFIXES = tuple(name for name in _KINDS if name not in (".item", ".user"))


@dataclasses.dataclass(frozen=True)
class LogFile:
  """A file of rows.

  Attributes:
    path: the path of the file; with .gz or .zst at its end it is unpacked as it is read.
    encoding: of a file of text without a byte order mark.
    header: whether a table's first row names its columns; None goes by what stands in it.
  """

  path: Path
  encoding: str = "utf-8"
  header: bool | None = None

  @property
  def suffix(self) -> str:
    """The suffix in small letters, that of a compression aside."""
    is_packed = self.path.suffix.lower() in COMPRESSED
    return (self.path.with_suffix("") if is_packed else self.path).suffix.lower()

  @property
  def kind(self) -> str | None:
    """What the file is: "table", "jsonl" or "parquet"; None for what is not read."""
    return _KINDS.get(self.suffix)

  def head(self) -> list[dict[str, Any]]:
    """The first rows; none of what cannot be read."""
    try:
      found = itertools.islice(self.rows(), _HEAD_ROWS)
      return [row for _, row in found if isinstance(row, dict)]
    except (NoText, Damaged, OSError):
      return []

  def rows(self) -> Iterator[tuple[int, Any]]:
    """(number from 1, row or in words what is wrong with it): for tables that are not large.

    Raises:
      NoText, Damaged, OSError: for what cannot be read on.
    """
    if self.kind == "parquet":
      for number, row in enumerate(rows(self.path, column_names(self.path)), 1):
        yield number, "a value of no kind that Python has" if row is None else row
      return
    with self._open() as stream:
      if self.kind == "jsonl":
        yield from enumerate(map(parsed, lines_of(stream.utf8)), 1)
      elif (dialect := self._dialect()) is not None:
        yield from enumerate(table_rows(_separated_once(stream.utf8, dialect), dialect), 1)

  def blocks(self, columns: Sequence[str], *, key: str) -> Iterator[Block]:
    """Many rows at once: these columns, as whatever they are written as.

    Args:
      columns: the names of the columns, all of which are there.
      key: the name of the file, for messages.
    """
    try:
      if self.kind == "parquet":
        first = 1
        for batch in batches(self.path, columns, num_rows=_ROWS):
          yield Rows(batch, first)
          first += len(batch)
        return
      with self._open() as stream:
        read = self._lines if self.kind == "jsonl" else self._table
        for item in read(stream, columns, key):
          yield item
          yield Reached(stream.tell())
    except (NoText, Damaged) as error:
      yield Unreadable(key, str(error))
    except OSError as error:
      yield Unreadable(key, f"cannot be read ({error.strerror or error})")

  def _open(self):
    return open_text(self.path, encoding=self.encoding, flag=_FLAG)

  def _dialect(self) -> Dialect | None:
    with self._open() as stream:
      if self.suffix in ATOMIC:
        first = stream.utf8.readline(_HEAD).decode("utf-8", "replace").rstrip("\r\n")
        if not first:
          return None
        names = tuple(name.partition(":")[0] for name in first.split("\t"))
        return Dialect("\t", False, names, True)
      sample = io.BufferedReader(Until(stream.utf8), _HEAD).read(_HEAD)
    if b"::" in sample.partition(b"\n")[0]:  # MovieLens's, 1::1193::5::978300760
      width = sample.partition(b"\n")[0].count(b"::") + 1
      return Dialect(SEPARATOR, False, tuple(map(str, range(1, width + 1))), False)
    head = io.BytesIO(sample)
    found = _separated(head, is_tsv=self.suffix == ".tsv", header=self.header)
    if found is None or self.header is not None or found.header:
      return found
    named = _separated(head, is_tsv=self.suffix == ".tsv", header=True)
    return named if named is not None and has_names(named.names) else found

  def _table(self, stream: TextStream, columns: Sequence[str], key: str) -> Iterator[Block]:
    dialect, wrong, skipped = self._dialect(), [], []
    if dialect is None:
      yield Unreadable(key, "empty file")
      return
    if missing := [name for name in columns if dialect.names.count(name) != 1]:
      yield Unreadable(key, f"no column '{missing[0]}', or several")
      return

    def skip(row: Any) -> str:
      reason = f"{row.actual_columns} columns, expected {row.expected_columns}"
      wrong.append(Unreadable(f"{key}:{row.number}", reason))
      skipped.append(row.number)
      return "skip"

    data = Until(stream.utf8)
    try:
      reader = csv.open_csv(
        _separated_once(io.BufferedReader(data, _BLOCK), dialect),
        read_options=csv.ReadOptions(
          block_size=_BLOCK,
          use_threads=False,
          column_names=list(dialect.names),
          skip_rows=int(dialect.header),
        ),
        parse_options=csv.ParseOptions(
          delimiter=dialect.delimiter,
          quote_char='"' if dialect.quoted else False,
          newlines_in_values=dialect.quoted,
          invalid_row_handler=skip,
        ),
        convert_options=csv.ConvertOptions(
          column_types=dict.fromkeys(columns, pa.binary()),
          include_columns=list(columns),
          check_utf8=False,
          null_values=[],
          strings_can_be_null=False,
        ),
      )
      first = 1 + int(dialect.header)
      for batch in reader:
        yield from wrong
        wrong.clear()
        # Those of the next block may be among them: it was parsed already.
        rows = Rows(batch, first, tuple(skipped))
        first = rows.number(len(batch) - 1) + 1 if len(batch) else first
        skipped[:] = [number for number in skipped if number >= first]
        yield rows
    except pa.ArrowInvalid as error:
      if "Empty CSV" not in str(error):
        wrong.append(Unreadable(key, f"cannot be read on ({one_line(error)[:80]})"))
    yield from wrong
    yield from data.told(key)

  def _lines(self, stream: TextStream, columns: Sequence[str], key: str) -> Iterator[Block]:
    kinds = _kinds_of(self.head(), columns)
    data, rest, number = Until(stream.utf8), b"", 0
    file = io.BufferedReader(data, _BLOCK)
    while True:
      block = file.read(_BLOCK)
      whole, _, rest = (rest + block).rpartition(b"\n") if block else (rest, b"", b"")
      if len(rest) > LONGEST_LINE:
        yield Unreadable(f"{key}:{number + 1}", f"line of more than {LONGEST_LINE >> 20} MiB")
        return
      if whole.strip():
        yield from _of_lines(whole, columns, kinds, key=key, first=number)
      number += whole.count(b"\n") + 1 if whole else 0
      if not block:
        break
    if not number and data.fault is None:
      yield Unreadable(key, "empty file")
    yield from data.told(key)


def _separated_once(file: Any, dialect: Dialect) -> Any:
  """The text of a table with one character between cells."""
  return io.BufferedReader(Single(file), _HEAD) if dialect.delimiter == SEPARATOR else file


def _separated(file: io.BytesIO, *, is_tsv: bool, header: bool | None) -> Dialect | None:
  """The dialect of a table by its beginning."""
  file.seek(0)
  return dialect_of(file, is_tsv=is_tsv, header=header)


def _kinds_of(head: Sequence[dict[str, Any]], columns: Sequence[str]) -> pa.Schema:
  """Types of fields by the first records: text, whole numbers or others."""
  kinds = {}
  for name in columns:
    found = {type(row.get(name)) for row in head} - {type(None)}
    kinds[name] = {frozenset([str]): pa.string(), frozenset([int]): pa.int64()}.get(
      frozenset(found), pa.float64() if found <= {int, float} and found else pa.string()
    )
  return pa.schema(list(kinds.items()))


def _of_lines(
  block: bytes, columns: Sequence[str], kinds: pa.Schema, *, key: str, first: int
) -> Iterator[Block]:
  """Records of whole lines; where they are not all of these types, read one by one."""
  how = json.ParseOptions(explicit_schema=kinds, unexpected_field_behavior="ignore")
  options = json.ReadOptions(use_threads=False, block_size=len(block) + 1)
  try:
    table = json.read_json(io.BytesIO(block), read_options=options, parse_options=how)
    yield from (
      Rows(batch, first + 1) for batch in table.select(columns).combine_chunks().to_batches()
    )
    return
  except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError):
    pass
  found: dict[str, list] = {name: [] for name in columns}
  skipped = []
  for number, line in enumerate(block.split(b"\n"), first + 1):
    row = parsed(line) if line.strip() else {}
    if not isinstance(row, dict):
      yield Unreadable(f"{key}:{number}", row if isinstance(row, str) else "not a record of fields")
    if not isinstance(row, dict) or not line.strip():
      skipped.append(number)
      continue
    for name in columns:
      found[name].append(_text(row.get(name)))
  arrays = [pa.array(found[name], pa.large_string()) for name in columns]
  yield Rows(pa.RecordBatch.from_arrays(arrays, names=list(columns)), first + 1, skipped)


def _text(value: Any) -> str | None:
  if isinstance(value, str):
    return value.encode("utf-8", "replace").decode()
  if isinstance(value, bool):
    return str(value).lower()
  return str(value) if isinstance(value, (int, float)) else None
