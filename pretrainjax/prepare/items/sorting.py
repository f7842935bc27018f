"""Events by user and time: partitioned on disk by user, and sorted partition by partition."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from pretrainjax.prepare.items.events import EVENT
from pretrainjax.prepare.stages.journal import Journal

RAW = "events.bin"
_STAGE, _FOLDER = "sorted", "parts"
_BLOCK = 1 << 20  # events read at once
_PART_EVENTS, _PART_USERS = 1 << 21, 1 << 16  # of a part, but that a user is never cut


class Sorted:
  """Events by user, in a user by time, and of equal times as the rows of the log were.

  Attributes:
    num_users: the number of users before any are left out.
    num_duplicates: how many events were the same user, item and time as another.
    order: the place of each user, by the numbers that the ids have.
  """

  def __init__(
    self, folder: Path, *, ends: np.ndarray, num_duplicates: int, order: Int64[np.ndarray, " U"]
  ):
    self._folder, self._ends = folder, ends
    self.num_users, self.num_duplicates, self.order = len(order), num_duplicates, order

  def parts(self) -> Iterator[np.ndarray]:
    """The events, of some users at once; "user" is the user's place in `order`."""
    for number in range(len(self._ends)):
      yield np.fromfile(self._folder / f"{number}.sorted", EVENT)


def sort_events(
  folder: Path, journal: Journal, *, num_users: int, seed: int, keep_duplicates: bool
) -> Sorted:
  """Sorts what lies in RAW, or goes on where the journal says.

  Users come in random order, so that the first part of a split is a fair sample of it.

  Args:
    folder: the work folder.
    journal: the journal of this run.
    num_users: the number of different users.
    seed: the seed of the users' order.
    keep_duplicates: whether an event that is there twice stays twice.
  """
  generator = np.random.Generator(np.random.Philox(key=[seed, 0]))
  order = generator.permutation(num_users)
  state = journal.get(_STAGE)
  parts = folder / _FOLDER
  if state is None:
    counts = np.zeros(num_users, np.int64)
    for block in _blocks(folder / RAW):
      counts += np.bincount(block["user"], minlength=num_users)
    by_place = np.zeros(num_users, np.int64)
    by_place[order] = counts
    state = {"ends": _ends(by_place), "done": 0, "duplicates": 0}
    shutil.rmtree(parts, ignore_errors=True)  # of a run that was stopped in the middle of it
    parts.mkdir()
    _scatter(folder / RAW, parts, order, np.array(state["ends"]))
    journal.put(_STAGE, state)
    journal.commit()
  for number in range(state["done"], len(state["ends"])):
    state["duplicates"] += _sort(parts, number, keep_duplicates=keep_duplicates)
    state["done"] = number + 1
    journal.put(_STAGE, state)
    journal.commit()
    (parts / f"{number}.raw").unlink(missing_ok=True)
  ends = np.array(state["ends"])
  return Sorted(parts, ends=ends, num_duplicates=state["duplicates"], order=order)


def _blocks(path: Path) -> Iterator[np.ndarray]:
  with open(path, "rb") as file:
    while len(block := np.fromfile(file, EVENT, _BLOCK)):
      yield block


def _ends(counts: Int64[np.ndarray, " U"]) -> list[int]:
  """Where each part ends: after the last of its users."""
  before, ends = np.append(0, np.cumsum(counts)), []
  start, num_users = 0, len(counts)
  while start < num_users:
    fits = int(np.searchsorted(before, before[start] + _PART_EVENTS, side="right")) - 1
    start = min(max(fits, start + 1), start + _PART_USERS, num_users)
    ends.append(start)
  return ends


def _scatter(raw: Path, parts: Path, order: np.ndarray, ends: np.ndarray) -> None:
  for number in range(len(ends)):
    (parts / f"{number}.raw").touch()
  part_of = np.searchsorted(ends, order, side="right").astype(np.int32)
  for block in _blocks(raw):
    part = part_of[block["user"]]
    block["user"] = order[block["user"]]
    small = part.astype(np.uint16) if len(ends) < 1 << 16 else part  # sorted by digits, faster
    by_part = np.argsort(small, kind="stable")
    block, bounds = block[by_part], np.cumsum(np.bincount(part, minlength=len(ends)))
    for number, (start, end) in enumerate(zip(np.append(0, bounds), bounds, strict=False)):
      if start < end:
        with open(parts / f"{number}.raw", "ab") as file:
          block[start:end].tofile(file)


def _sort(parts: Path, number: int, *, keep_duplicates: bool) -> int:
  """Sorts a part; returns how many events it had twice."""
  events = np.fromfile(parts / f"{number}.raw", EVENT)
  events = events[np.argsort(events["time"], kind="stable")]
  first = events["user"].min() if len(events) else 0
  near = (events["user"] - first).astype(np.uint16)  # at most so many users
  events = events[np.argsort(near, kind="stable")]
  is_twice = np.zeros(len(events), bool) if keep_duplicates else _is_twice(events)
  target = parts / f"{number}.sorted"
  with open(target.with_suffix(".new"), "wb") as file:
    events[~is_twice].tofile(file)
    file.flush()
    os.fsync(file.fileno())
  target.with_suffix(".new").replace(target)
  return int(is_twice.sum())


def _is_twice(events: np.ndarray) -> np.ndarray:
  """Whether an event stood before with the same user, item and time; sorted by user and time."""
  is_twice = np.zeros(len(events), bool)
  same = (events["user"][1:] == events["user"][:-1]) & (events["time"][1:] == events["time"][:-1])
  if not same.any():
    return is_twice
  among = np.append(False, same) | np.append(same, False)  # the few that could be
  places = np.flatnonzero(among)
  found = events[places]
  by_item = np.lexsort((found["item"], found["time"], found["user"]))  # stable
  ordered = found[by_item]
  is_twice[places[by_item[1:]]] = ordered[1:] == ordered[:-1]
  return is_twice
