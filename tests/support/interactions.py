"""Prepared sets of interactions, written by hand, for tests."""

import collections
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

from pretrainjax.data.interactions import History
from pretrainjax.prepare.items.record import features, record

PROTOCOL = {
  "split": "leave_one_out",
  "quantile": None,
  "cut": None,
  "target": "last",
  "validation": "last",
  "min_user_events": 1,
  "min_item_events": 1,
  "min_rating": None,
  "consecutive_repeats": "kept",
}


def trained(user: int, items: Sequence[int], times: Sequence[int] | None = None) -> History:
  """A training record; by default an event an hour, from 1970 on."""
  when = np.array(range(0, 3600 * len(items), 3600) if times is None else times, np.int64)
  return History(user, np.array(items, np.int32), when, 0, 0, len(items))


def asked(
  user: int,
  items: Sequence[int],
  target: int,
  times: Sequence[int] | None = None,
  *,
  target_time: int | None = None,
  num_train: int | None = None,
) -> History:
  """A record of "validation" or "test": the history, and the item that comes next."""
  row = trained(user, items, times)
  when = (int(row.times[-1]) + 3600 if items else 3600) if target_time is None else target_time
  count = len(items) if num_train is None else num_train
  return row._replace(target=target, target_time=when, num_train=count)


def write_interactions(
  folder: Path,
  histories: Mapping[str, Sequence[History | Sequence[int]]],
  *,
  num_items: int | None = None,
  num_users: int | None = None,
  titles: Sequence[str] = (),
  item_features: Sequence[Mapping[str, Any]] = (),
  protocol: Mapping[str, Any] | None = None,
  facts: Mapping[str, Any] | None = None,
) -> Path:
  """Writes FOLDER/1.0.0 as `prepare interactions` does, records in the given order.

  Args:
    folder: DATA_DIR/NAME.
    histories: records by split, made by `trained` and `asked`. A plain list of items is a record of
      the user whose place in the split it is: in "train" all of them are trained on, in the others
      the last one is the target.
    num_items: of the catalogue; by default the largest number.
    num_users: likewise, one more than the largest number.
    titles: of items 1, 2 and so on.
    item_features: likewise.
    protocol: what differs from PROTOCOL.
    facts: what else differs in prepared.json.

  Returns:
    The folder of the version.
  """
  target = folder / "1.0.0"
  target.mkdir(parents=True)
  splits = {
    split: [_history(row, user, split) for user, row in enumerate(rows)]
    for split, rows in histories.items()
  }
  every = [row for rows in splits.values() for row in rows]
  highest = max(max([row.target, *row.items.tolist()]) for row in every)
  num_items = highest if num_items is None else num_items
  num_users = max(row.user for row in every) + 1 if num_users is None else num_users
  infos = [_write_split(split, rows, target, folder.name) for split, rows in splits.items()]
  tfds.folder_dataset.write_metadata(
    data_dir=target,
    features=features(),
    split_infos=infos,
    version="1.0.0",
    check_data=False,  # it would read by TensorFlow
  )
  train = splits.get("train", ())
  of_items = collections.Counter(int(item) for row in train for item in row.items)
  of_users = collections.Counter(row.user for row in train for _ in row.items)
  items = [{"id": f"i{number}", "count": of_items[number]} for number in range(1, num_items + 1)]
  for number, title in enumerate(titles):
    items[number]["title"] = title
  for number, found in enumerate(item_features):
    items[number]["features"] = dict(found)
  _write_lines(target / "items.jsonl", items)
  users = [{"id": f"u{number}", "count": of_users[number]} for number in range(num_users)]
  _write_lines(target / "users.jsonl", users)
  noted = {
    "source": {"name": folder.name},
    "kind": "interactions",
    "num_items": num_items,
    "num_users": num_users,
    "num_events": sum(len(row.items) for row in train),
    "longest_history": max((len(row.items) for row in train), default=0),
    "times": "seconds",
    "protocol": PROTOCOL | dict(protocol or {}),
    "dropped": {},
  }
  (target / "prepared.json").write_text(json.dumps(noted | dict(facts or {})))
  return target


def _history(row: History | Sequence[int], user: int, split: str) -> History:
  if isinstance(row, History):
    return row
  return trained(user, row) if split == "train" else asked(user, row[:-1], row[-1])


def _write_split(split: str, rows: Sequence[History], target: Path, name: str) -> Any:
  packed = [record(row) for row in rows]
  path = target / f"{name}-{split}.array_record-00000-of-00001"
  writer = ArrayRecordWriter(str(path), "group_size:1")
  for data in packed:
    writer.write(data)
  writer.close()
  template = tfds.core.ShardedFileTemplate(
    data_dir=target, dataset_name=name, split=split, filetype_suffix="array_record"
  )
  return tfds.core.SplitInfo(
    name=split,
    filename_template=template,
    shard_lengths=[len(packed)],
    num_bytes=sum(map(len, packed)),
  )


def _write_lines(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
  path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
