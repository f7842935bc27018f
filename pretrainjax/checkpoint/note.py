"""A note beside a saved step: which evaluators ran on it, and their numbers.

A step is saved before it is evaluated, so that nothing that an evaluation meets can cost the step.
"""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pretrainjax.checkpoint import sealed
from pretrainjax.checkpoint.sealed import Damaged, digest
from pretrainjax.untrusted import BadFile, read_json, replace

# Within the folder of the item "meta", where Orbax looks for nothing but its own file.
_FILE = "meta/evaluated.json"


class Note(NamedTuple):
  """What was measured of a step.

  Attributes:
    evaluators: the names of the evaluators that ran.
    numbers: their numbers by "evaluator/number".
  """

  evaluators: tuple[str, ...] = ()
  numbers: Mapping[str, float] = {}


def write(folder: Path, *, evaluators: Collection[str], numbers: Mapping[str, float]) -> None:
  """Adds to the note of a step, whole or not at all; to be called on one process only.

  Args:
    folder: the folder of the step.
    evaluators: the names of the evaluators that ran.
    numbers: their numbers by "evaluator/number".

  Raises:
    OSError: where it cannot be written.
  """
  before = read(folder)
  content = {
    "evaluators": sorted({*before.evaluators, *evaluators}),
    "numbers": {**before.numbers, **numbers},
  }
  replace(folder / _FILE, json.dumps(content | {"seal": digest(content)}))


def read(folder: Path) -> Note:
  """Reads the note of a step; an empty one where there is none that is intact.

  Args:
    folder: the folder of the step.
  """
  try:
    found = read_json(folder / _FILE, inside=folder)
    content = {key: found[key] for key in ("evaluators", "numbers")}
    if found["seal"] != digest(content):
      raise Damaged("checksum differs")
    numbers = {str(name): float(value) for name, value in content["numbers"].items()}
    return Note(tuple(map(str, content["evaluators"])), numbers)
  except (BadFile, ValueError, KeyError, TypeError, AttributeError, Damaged):
    return Note()


def number(folder: Path, name: str) -> float:
  """One of the numbers of a step; NaN where it is not known.

  Args:
    folder: the folder of the step.
    name: the name, "evaluator/number".
  """
  found = read(folder).numbers.get(name)
  if found is None:
    found = _meta(folder).get("metric")
  return math.nan if found is None else float(found)


def not_yet_run(folder: Path, evaluators: Collection[str]) -> list[str]:
  """Which of these evaluators did not run on a step.

  Args:
    folder: the folder of the step.
    evaluators: the names of evaluators.
  """
  if "metric" in _meta(folder):  # of an older version, which saved what was evaluated
    return []
  return sorted(set(evaluators) - set(read(folder).evaluators))


def _meta(folder: Path) -> Mapping[str, Any]:
  """The item "meta" of a step; empty where it is not intact, or not there yet."""
  try:
    return sealed.read(folder)[0]
  except Damaged:
    return {}
