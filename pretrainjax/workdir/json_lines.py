"""Files of JSON lines that a run only appends to, readable after a kill at any time."""

import json
import os
from pathlib import Path
from typing import Any

from pretrainjax.untrusted import ends_a_line, read_lines


def rows(path: Path) -> list[dict[str, Any]]:
  """Reads all whole rows; a last one that a kill has cut short is left out.

  Args:
    path: the file, which may be missing.

  Returns:
    The rows in the order of the file.
  """
  if not os.path.lexists(path):
    return []
  return [row for line in read_lines(path) if (row := _row(line)) is not None]


def append(path: Path, row: dict[str, Any]) -> None:
  """Appends a row, which is on the disk when this returns.

  Args:
    path: the file, which is made if it is missing.
    row: the values by name, of types that JSON has.
  """
  is_torn = not ends_a_line(path)
  with path.open("a") as file:
    file.write(("\n" if is_torn else "") + json.dumps(row) + "\n")
    file.flush()
    os.fsync(file.fileno())


def put_away(path: Path) -> None:
  """Renames a file of an earlier run to NAME.1, NAME.2, ..., so that a new run begins its own."""
  if path.exists():
    names = (path.with_name(f"{path.stem}.{i}{path.suffix}") for i in range(1, 10**6))
    path.rename(next(name for name in names if not name.exists()))


def _row(line: bytes) -> dict[str, Any] | None:
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):
    return None
  return row if isinstance(row, dict) else None
