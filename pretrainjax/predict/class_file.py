"""What a classifier says, written down: .jsonl, .csv, .parquet, or lines for the screen."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pretrainjax.predict.texts import import_parquet

SUFFIXES = (".jsonl", ".csv", ".parquet")
_COLUMNS = ("class", "probability")  # of a .csv, for each of the likeliest classes
_ROWS = 4096  # of a .parquet, written at once


class Classified(NamedTuple):
  """The likeliest classes of an example.

  Attributes:
    name: the example's: a file, or a text.
    classes: the names of the classes, likeliest first.
    probabilities: how likely each is.
  """

  name: str
  classes: Sequence[str]
  probabilities: Sequence[float]

  @property
  def line(self) -> str:
    """The example with its classes, for a person."""
    pairs = zip(self.classes, self.probabilities, strict=True)
    name = " ".join(self.name.split())
    return f"{name}\t" + ", ".join(f"{one} {share:.4f}" for one, share in pairs)


def write_classified(out: Path, rows: Iterable[Classified], *, key: str, top: int) -> int:
  """Writes a file that appears when it is whole; returns the number of examples.

  Args:
    out: the file, of a kind in `SUFFIXES`.
    rows: the examples, in order.
    key: what their names are called, "file" or "text".
    top: the number of classes of each.
  """
  write = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}[out.suffix]
  temporary = out.with_name(f".{os.getpid()}.{out.name}")
  counted = _Counted(rows)
  try:
    write(temporary, iter(counted), key, top)
    if counted.count:
      os.replace(temporary, out)
  finally:
    temporary.unlink(missing_ok=True)
  return counted.count


class _Counted:
  """Iterates once, and counts."""

  def __init__(self, rows: Iterable[Classified]):
    self.rows, self.count = rows, 0

  def __iter__(self) -> Iterator[Classified]:
    for row in self.rows:
      self.count += 1
      yield row


def _jsonl(path: Path, rows: Iterator[Classified], key: str, top: int) -> None:
  del top
  with path.open("w", encoding="utf-8") as file:
    for row in rows:
      pairs = zip(row.classes, row.probabilities, strict=True)
      said = [{"class": one, "probability": share} for one, share in pairs]
      file.write(json.dumps({key: row.name, "classes": said}, ensure_ascii=False) + "\n")


def _csv(path: Path, rows: Iterator[Classified], key: str, top: int) -> None:
  with path.open("w", encoding="utf-8", newline="") as file:
    table = csv.writer(file)
    table.writerow([key, *(f"{what}_{i}" for i in range(1, top + 1) for what in _COLUMNS)])
    for row in rows:
      pairs = zip(row.classes, row.probabilities, strict=True)
      table.writerow([row.name, *(value for pair in pairs for value in pair)])


def _parquet(path: Path, rows: Iterator[Classified], key: str, top: int) -> None:
  import pyarrow as pa  # optional, and slow to load

  del top
  several = (pa.list_(pa.string()), pa.list_(pa.float32()))
  schema = pa.schema([(key, pa.string()), ("classes", several[0]), ("probabilities", several[1])])
  with import_parquet().ParquetWriter(path, schema) as writer:
    while some := list(islice(rows, _ROWS)):
      columns = [list(column) for column in zip(*some, strict=True)]
      writer.write_table(pa.table(columns, schema=schema))
