"""What a .parquet says of its columns' sizes, read without pyarrow.

pyarrow ends the process (seen with 26.0) where it is asked for the facts of a damaged column, and
makes room for whatever a page claims. The footer is Thrift's compact form:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pretrainjax.untrusted import open_file

_MAGIC = b"PAR1"
_MAX_FOOTER, _MAX_DEPTH = 1 << 26, 16
_PAGE_HEADER = 64


class Chunk(NamedTuple):
  """A column of one group of rows.

  Attributes:
    name: the name of the column, the outermost one where columns are nested.
    unpacked: its bytes without compression.
    packed: the bytes of its pages as they lie in the file.
    largest: bytes of the dictionary that values may repeat, without compression; 0 without one.
  """

  name: str
  unpacked: int
  packed: int
  largest: int


def read_footer(path: Path) -> tuple[int, list[list[Chunk]]]:
  """Rows of a file, and its groups of rows with the columns of each.

  Raises:
    ValueError: for a file that is none.
  """
  with open_file(path) as file:
    size = file.seek(0, 2)
    file.seek(max(size - 8, 0))
    length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
    if magic != _MAGIC or not 0 < length <= min(size - 8, _MAX_FOOTER):
      raise ValueError("no footer")
    file.seek(size - 8 - length)
    facts = _Compact(file.read(length)).struct()
    count, groups = facts.get(3), facts.get(4)
    if type(count) is not int or not isinstance(groups, list):
      raise ValueError("no groups of rows")
    return count, [_chunks(group, file) for group in groups]


def _chunks(group: Any, file: BinaryIO) -> list[Chunk]:
  columns = group.get(1) if isinstance(group, dict) else None
  if not isinstance(columns, list):
    raise ValueError("no columns")
  return [_chunk(column, file) for column in columns]


def _chunk(column: Any, file: BinaryIO) -> Chunk:
  facts = column.get(3) if isinstance(column, dict) else None
  facts = facts if isinstance(facts, dict) else {}
  path, unpacked, packed, start = (facts.get(field) for field in (3, 6, 7, 11))
  if not (isinstance(path, list) and path and isinstance(path[0], bytes)):
    raise ValueError("a column without a name")
  if type(unpacked) is not int or type(packed) is not int or min(unpacked, packed) < 0:
    raise ValueError("a column without a size")
  largest = 0
  if type(start) is int and start > 0:
    largest = _page_size(file, start) or unpacked
  return Chunk(path[0].decode("utf-8", "replace"), unpacked, packed, largest)


def _page_size(file: BinaryIO, start: int) -> int | None:
  """Bytes of a page when unpacked; None where there is none."""
  try:
    file.seek(start)
    header = _Compact(file.read(_PAGE_HEADER))
    fields = header.struct(upto=2)
  except (ValueError, OverflowError, OSError):
    return None
  found = fields.get(2)
  return found if type(found) is int and found >= 0 else None


class _Compact:
  """Reads structs: a dict of their fields by number. Of doubles the bytes are returned."""

  def __init__(self, data: bytes):
    self._data, self._place = data, 0

  def struct(self, *, depth: int = 0, upto: int | None = None) -> dict[int, Any]:
    if depth > _MAX_DEPTH:
      raise ValueError("nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    while upto is None or upto not in fields:
      head = self._byte()
      if head == 0:
        break
      number = number + (head >> 4) if head >> 4 else self._signed()
      kind = head & 15
      fields[number] = kind == 1 if kind in (1, 2) else self._value(kind, depth)
    return fields

  def _value(self, kind: int, depth: int) -> Any:
    if kind in (1, 2, 3):  # in a list a truth value is a byte, as a small number is
      return self._byte()
    if kind in (4, 5, 6):
      return self._signed()
    if kind == 7:
      return self._take(8)
    if kind == 8:
      return self._take(self._unsigned())
    if kind in (9, 10):
      head = self._byte()
      count = head >> 4 if head >> 4 != 15 else self._unsigned()
      if count > len(self._data) - self._place:
        raise ValueError("a list beyond the end")
      return [self._item(head & 15, depth) for _ in range(count)]
    if kind == 12:
      return self.struct(depth=depth + 1)
    raise ValueError("an unknown kind")  # Parquet has no maps

  def _item(self, kind: int, depth: int) -> Any:
    if kind in (9, 10) and depth > _MAX_DEPTH:
      raise ValueError("nested too deeply")
    return self._value(kind, depth + 1)

  def _signed(self) -> int:
    found = self._unsigned()
    return found >> 1 ^ -(found & 1)

  def _unsigned(self) -> int:
    found = 0
    for shift in range(0, 70, 7):
      byte = self._byte()
      found |= (byte & 0x7F) << shift
      if byte < 0x80:
        return found
    raise ValueError("a number without end")

  def _byte(self) -> int:
    return self._take(1)[0]

  def _take(self, count: int) -> bytes:
    found = self._data[self._place : self._place + count]
    if len(found) < count:
      raise ValueError("ends too early")
    self._place += count
    return found
