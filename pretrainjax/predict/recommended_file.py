"""Recommendations, written down: .jsonl or .parquet, or lines for the screen."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pretrainjax.predict.texts import import_parquet

SUFFIXES = (".jsonl", ".parquet")
_ROWS = 4096  # of a .parquet, written at once


class Recommended(NamedTuple):
  """What somebody is recommended.

  Attributes:
    name: the user's id, or the history that was given.
    by: what scored it, "model" or "popularity of the last 7 days".
    ids: the ids of the items, best first.
    titles: the titles of the items; ids where they have none.
    scores: the score of each; events in the window where popularity is meant.
  """

  name: str
  by: str
  ids: Sequence[str]
  titles: Sequence[str]
  scores: Sequence[float]

  @property
  def lines(self) -> str:
    """The list for a person."""
    rows = zip(self.titles, self.ids, self.scores, strict=True)
    listed = (f"  {n:2d}. {t} ({i})  {s:.4g}" for n, (t, i, s) in enumerate(rows, start=1))
    return "\n".join([f"{self.name}: by {self.by}", *listed])


def write_recommended(out: Path, rows: Iterable[Recommended]) -> None:
  """Writes a file that appears when it is whole.

  Args:
    out: the file, of a kind in `SUFFIXES`.
    rows: the lists, in order.
  """
  temporary = out.with_name(f".{os.getpid()}.{out.name}")
  try:
    {".jsonl": _jsonl, ".parquet": _parquet}[out.suffix](temporary, iter(rows))
    os.replace(temporary, out)
  finally:
    temporary.unlink(missing_ok=True)


def _jsonl(path: Path, rows: Iterator[Recommended]) -> None:
  with path.open("w", encoding="utf-8") as file:
    for row in rows:
      columns = zip(row.ids, row.titles, row.scores, strict=True)
      items = [{"id": i, "title": t, "score": s} for i, t, s in columns]
      said = {"user": row.name, "by": row.by, "items": items}
      file.write(json.dumps(said, ensure_ascii=False) + "\n")


def _parquet(path: Path, rows: Iterator[Recommended]) -> None:
  import pyarrow as pa  # slow to load

  several = [(name, pa.list_(pa.string())) for name in ("items", "titles")]
  one = [(name, pa.string()) for name in ("user", "by")]
  schema = pa.schema([*one, *several, ("scores", pa.list_(pa.float32()))])
  with import_parquet().ParquetWriter(path, schema) as writer:
    while some := list(islice(rows, _ROWS)):
      columns = [list(column) for column in zip(*some, strict=True)]
      writer.write_table(pa.table(columns, schema=schema))
