"""How Orbax finds the folders of steps, without reading a file of them."""

import datetime
from collections.abc import Iterator
from typing import Any, NamedTuple

import orbax.checkpoint as ocp


class _Found(NamedTuple):
  """A step that was found, as Orbax's manager asks for it."""

  step: int
  path: Any

  @property
  def commit_timestamp(self) -> datetime.datetime:
    """The time of the folder.

    Orbax would read it from a JSON file of each step that it lists, and one that is nested too
    deeply, which is damage of that step alone, would keep a run from opening any.
    """
    return datetime.datetime.fromtimestamp(self.path.stat().mtime, tz=datetime.UTC)


class StepNames:
  """The names that Orbax gives to steps by default, "7"; for `step_name_format` of its manager."""

  def __init__(self):
    self._standard = ocp.path.step.standard_name_format()

  def build_name(self, step: int) -> str:
    """The name of the folder of a step."""
    return self._standard.build_name(step)

  def find_all(self, base_path: Any) -> Iterator[_Found]:
    """All steps in a folder that are committed."""
    return (_Found(found.step, found.path) for found in self._standard.find_all(base_path))

  def find_step(self, base_path: Any, step: int) -> _Found:
    """A step in a folder."""
    found = self._standard.find_step(base_path, step)
    return _Found(found.step, found.path)
