"""A split of a prepared set of interactions as flat arrays: what baselines count in."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from pretrainjax.data.prepared import Fields, PreparedSplit
from pretrainjax.errors import UserError

KIND = "interactions"
_AT_ONCE = 4096  # records


class History(NamedTuple):
  """One record: events of a user, oldest first, and what is to be predicted.

  Attributes:
    user: the number of the user, from 0.
    items: the numbers of the items, from 1.
    times: seconds since 1970 of each event; the numbers of rows where the log has no times.
    target: the item that comes next; 0 in training.
    target_time: the time of that event; 0 in training.
    num_train: how many of the user's events are in training.
  """

  user: int
  items: Int32[np.ndarray, " T"]
  times: Int64[np.ndarray, " T"]
  target: int
  target_time: int
  num_train: int


@dataclasses.dataclass(frozen=True, eq=False)
class Interactions:
  """All records of a split: those of record i are items[offsets[i]:offsets[i + 1]].

  Attributes:
    num_items: the number of items of the dataset, which are counted from 1.
    num_users: the number of users of the dataset, which are counted from 0.
    users: the user of each record; a user may have several.
    offsets: where the events of each record begin, and the end of the last.
    items: the items of all events, oldest first in each record.
    times: seconds since 1970 of all events; numbers of rows where the log has no times.
    targets: the item that comes next of each record; 0 in training.
    target_times: the time of that event; 0 in training.
    num_train: how many events of the record's user are in training.
  """

  num_items: int
  num_users: int
  users: Int64[np.ndarray, " R"] = dataclasses.field(repr=False)
  offsets: Int64[np.ndarray, " R1"] = dataclasses.field(repr=False)
  items: Int32[np.ndarray, " E"] = dataclasses.field(repr=False)
  times: Int64[np.ndarray, " E"] = dataclasses.field(repr=False)
  targets: Int32[np.ndarray, " R"] = dataclasses.field(repr=False)
  target_times: Int64[np.ndarray, " R"] = dataclasses.field(repr=False)
  num_train: Int32[np.ndarray, " R"] = dataclasses.field(repr=False)

  def __len__(self) -> int:
    return len(self.users)

  def row(self, number: int) -> slice:
    """The place of a record's events in `items` and `times`."""
    return slice(int(self.offsets[number]), int(self.offsets[number + 1]))

  @classmethod
  def read(cls, source: PreparedSplit) -> "Interactions":
    """Reads a whole split.

    Args:
      source: the split, "train", "validation" or "test" of a set that `prepare` wrote.

    Raises:
      UserError: for a set of another kind, a damaged record, and for one of training that holds an
        event which is not before the cut.
    """
    check_kind(source)
    num_items, num_users = source.noted("num_items", int), source.noted("num_users", int)
    rows = []
    for start in range(0, len(source), _AT_ONCE):
      numbers = range(start, min(start + _AT_ONCE, len(source)))
      rows += [_checked(source, fields, num_items, num_users) for fields in source.records(numbers)]
    found = cls(
      num_items=num_items,
      num_users=num_users,
      users=np.array([row.user for row in rows], np.int64),
      offsets=np.cumsum([0, *(len(row.items) for row in rows)], dtype=np.int64),
      items=np.concatenate([row.items for row in rows]),
      times=np.concatenate([row.times for row in rows]),
      targets=np.array([row.target for row in rows], np.int32),
      target_times=np.array([row.target_time for row in rows], np.int64),
      num_train=np.array([row.num_train for row in rows], np.int32),
    )
    check_before_cut(found.times, source)
    return found


def history_of(fields: Fields) -> History:
  """Unpacks a record.

  Raises:
    ValueError: for one that has not these fields, or as many items as times.
  """
  try:
    items = np.frombuffer(fields["items"].bytes_list.value[0], np.int32)
    times = np.frombuffer(fields["times"].bytes_list.value[0], np.int64)
    targets = np.frombuffer(fields["targets"].bytes_list.value[0], np.int32)
    user, target_time, num_train = (
      fields[name].int64_list.value[0] for name in ("user", "target_time", "num_train")
    )
  except IndexError:
    raise ValueError("a field is missing") from None
  if len(items) != len(times) or len(targets) > 1:
    raise ValueError(f"{len(items)} items, {len(times)} times and {len(targets)} targets")
  target = int(targets[0]) if len(targets) else 0
  return History(user, items, times, target, target_time, num_train)


def check_kind(source: PreparedSplit) -> None:
  """Refuses a set of another kind than interactions.

  Raises:
    UserError: naming what it is.
  """
  if (found := source.prepared.get("kind")) != KIND:
    raise UserError(
      f"--{source.key}.datasets: prepared.json of '{source.name}' has kind={found!r}, expected "
      f"'{KIND}', which `python -m pretrainjax.prepare interactions` writes"
    )


def check_before_cut(times: Int64[np.ndarray, " E"], source: PreparedSplit) -> None:
  """Refuses training events at or after the time at which training ends; other splits have some.

  Args:
    times: the times of events.
    source: the split that they are of, whose protocol says the time.

  Raises:
    UserError: with the number of such events.
  """
  if source.split.partition("[")[0] != "train":
    return
  cut = protocol_of(source).get("cut")
  if type(cut) is int and (late := int(np.sum(times >= cut))):
    raise UserError(
      f"--{source.key}.datasets: '{source.name}' has {late:,} training events at or after {cut}, "
      "where its protocol says that training ends; prepare it anew"
    )


def protocol_of(source: PreparedSplit) -> dict[str, Any]:
  """How the set was filtered and split, as `prepare` noted it."""
  return source.noted("protocol", dict)


def _checked(source: PreparedSplit, fields: Fields, num_items: int, num_users: int) -> History:
  try:
    row = history_of(fields)
    if not 0 <= row.user < num_users:
      raise ValueError(f"user {row.user} of {num_users}")
    numbers = np.append(row.items, row.target or row.items[:1])
    if np.any((numbers < 1) | (numbers > num_items)):
      raise ValueError(f"an item that is not in 1 to {num_items}")
    return row
  except ValueError as error:
    raise UserError(
      f"--{source.key}.datasets: '{source.name}' holds a record in {source.folder} that is damaged "
      f"({error})"
    ) from error
