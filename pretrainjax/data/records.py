"""Records of files that a user has, lines of .jsonl and rows of .parquet, in whatever state.

A few bytes of either can stand for more than any memory holds; those are refused by what the file
says of itself, or after so many bytes.
"""

import json
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from pretrainjax.data.parquet_footer import Chunk, read_footer

LONGEST_LINE = 1 << 26  # bytes
_ROWS = 256
_BATCH_BYTES = 1 << 28  # of all values that are unpacked at once
_MOST_SHRUNK = 200  # text shrinks to a quarter; a column of this size that shrank more is a bomb
_MOST_ROWS_A_BYTE = 64


class Damaged(Exception):
  """Raised for a file that is not what its name says, with a reason in words that can be counted.

  Attributes:
    columns: those that it has, where one was missing.
  """

  def __init__(self, reason: str, columns: Sequence[str] = ()):
    super().__init__(reason)
    self.columns = tuple(columns)


def lines(file: BufferedIOBase) -> Iterator[bytes | None]:
  """Lines of a file, None in place of one that is too long."""
  while line := file.readline(LONGEST_LINE):
    if len(line) < LONGEST_LINE or line.endswith(b"\n"):
      yield line
      continue
    while line and not line.endswith(b"\n"):
      line = file.readline(LONGEST_LINE)
    yield None


def parsed(line: bytes | None) -> Any:
  """The record of a line, or as a string what is wrong with it."""
  if line is None:
    return f"line of more than {LONGEST_LINE >> 20} MiB"
  try:
    record = json.loads(line.decode("utf-8-sig"))
  except UnicodeDecodeError:
    return "not UTF-8"
  except (ValueError, RecursionError):
    return "not JSON"
  return "not a record of fields" if isinstance(record, str) else record


def rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any] | None]:
  """Rows of a .parquet; None in place of one that Python has no values for; see `batches`."""
  for batch in batches(path, columns):
    yield from _values(batch)


def batches(path: Path, columns: Sequence[str], *, num_rows: int | None = None) -> Iterator[Any]:
  """Rows of a .parquet, some at once, as pyarrow's record batches.

  Args:
    path: the path of the file.
    columns: the names of the columns to read; of one within another,
      "outer.inner", the outer one is read.
    num_rows: the most rows of a batch, whose texts are then left in dictionaries where the file has
      them so; None takes as many as surely fit into memory when they are unpacked.

  Raises:
    Damaged: for a file that is none, breaks off, lacks a column or unpacks to absurdly much.
    OSError: where the machine cannot read it.
  """
  import pyarrow.parquet as parquet  # slow to load, and lines do without

  try:
    count, groups = read_footer(path)
    if count > max(_MOST_ROWS_A_BYTE * path.stat().st_size, 1 << 16):
      raise Damaged("more rows than its bytes can hold")
    packed = None if num_rows is None else list(columns)
    with parquet.ParquetFile(path, page_checksum_verification=True, read_dictionary=packed) as file:
      names = file.schema_arrow.names
      columns = list(dict.fromkeys(c if c in names else c.partition(".")[0] for c in columns))
      _check_names(names, columns)
      for group, chunks in enumerate(groups):
        surely = _rows_at_once(chunks, columns)
        size = surely if num_rows is None else num_rows
        yield from file.iter_batches(batch_size=size, row_groups=[group], columns=columns)
  except Damaged:
    raise
  except Exception as error:  # Arrow raises many kinds for damage
    if getattr(error, "errno", None):  # the machine's; Arrow's own have none
      raise
    raise Damaged("not a whole parquet file") from error


def column_names(path: Path) -> list[str]:
  """The names of a .parquet's columns.

  Raises:
    Damaged: for a file that is none.
  """
  import pyarrow.parquet as parquet  # slow to load, and lines do without

  try:
    read_footer(path)
    return list(parquet.read_schema(path).names)
  except Exception as error:  # Arrow raises many kinds for damage
    if getattr(error, "errno", None):
      raise
    raise Damaged("not a whole parquet file") from error


def _check_names(names: Sequence[str], columns: Sequence[str]) -> None:
  for name in columns:
    if names.count(name) != 1:
      reason = f"no column '{name}'" if name not in names else f"several columns '{name}'"
      raise Damaged(reason, names)


def _rows_at_once(chunks: Sequence[Chunk], columns: Sequence[str]) -> int:
  """As many as surely fit into memory: rows may all repeat the largest value of a dictionary."""
  wanted = {name.split(".")[0] for name in columns} | set(columns)
  found = [chunk for chunk in chunks if chunk.name in wanted]
  for chunk in found:
    if chunk.unpacked > max(_BATCH_BYTES, _MOST_SHRUNK * chunk.packed):
      raise Damaged(f"unpacks to more than {_MOST_SHRUNK} times its size")
  largest = max((chunk.largest for chunk in found), default=0)
  return min(max(_BATCH_BYTES // max(largest, 1), 1), _ROWS)


def _values(batch: Any) -> Iterator[dict[str, Any] | None]:
  try:
    yield from batch.to_pylist()
    return
  except (ValueError, OverflowError):  # UTF-8 that is none, dates that Python has not got
    pass
  for place in range(batch.num_rows):
    try:
      yield batch.slice(place, 1).to_pylist()[0]
    except (ValueError, OverflowError):
      yield None
