"""The names of a run's classes, kept in its folder: its answers are read without its data."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from pretrainjax.untrusted import BadFile, read_json, replace

FILE = "class_names.json"


def keep_class_names(workdir: Path, names: Sequence[str]) -> None:
  """Writes WORKDIR/class_names.json, a list, where there are names.

  Args:
    workdir: the run's folder, already claimed.
    names: the name of each class, () for data without classes.
  """
  if names:
    replace(workdir / FILE, json.dumps(list(names), ensure_ascii=False, indent=1) + "\n")


def read_class_names(workdir: Path) -> tuple[str, ...]:
  """The names that a run kept; () for one that kept none, as those of earlier versions.

  Args:
    workdir: the run's folder.

  Raises:
    BadFile: for a file that is no list of names, or leads out of the folder.
  """
  path = workdir / FILE
  if not os.path.lexists(path):
    return ()
  found = read_json(path, inside=workdir)
  if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
    raise BadFile(path, "is no list of names")
  return tuple(found)
