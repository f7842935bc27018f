"""Prepared tfds datasets, read without TensorFlow: records and labels by index."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from jaxtyping import Int
from tensorflow_datasets.proto import tf_example_pb2

from pretrainjax.data.dataset_folder import (
  data_folder,
  newest_version,
  open_builder,
  prepared_names,
)
from pretrainjax.errors import UserError, nearest
from pretrainjax.untrusted import BadFile, read_json

OURS = ("fashion_mnist", "digits", "sotu", "spam_assassin", "wordnet")
OURS += ("asterisk", "klettres", "ktuberling", "tuxpaint", "movielens")
# Sets of the public catalogue that configs here name; others work too once they are prepared.
CATALOGUE = ("mnist", "cifar10", "cifar100", "imagenet2012", "eurosat", "food101")

# A record's features by name, not yet unpacked: `fields["image"].bytes_list.value[0]`.
Fields = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class PreparedSplit:
  """One split of a prepared dataset, opened for reading.

  Attributes:
    name: the name of the dataset, "cifar10" or "name/config".
    split: in the language of tfds, "train[:10%]".
    data_dir: the folder in which prepared datasets lie.
    key: the place in the config of the data that names it, for messages.
  """

  name: str
  split: str
  data_dir: Path
  key: str = dataclasses.field(default="config.data", compare=False, repr=False)

  @classmethod
  def at(cls, folder: Path, *, split: str) -> "PreparedSplit":
    """A split of the dataset in a folder that need not lie where datasets do."""
    source = cls(folder.parent.name, split, folder.parent.parent)
    source.__dict__["folder"] = folder
    return source

  def __len__(self) -> int:
    return len(self._records)

  def records(self, indices: Sequence[int] | Int[np.ndarray, " S"]) -> list[Fields]:
    """The records' features, still packed; many at once are faster."""
    return [_fields(record) for record in self._read(indices)]

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """The class of each record, int32, -1 for unreadable ones; reads all, but unpacks none."""
    labels, step = np.empty(len(self), np.int32), 1024
    for start in range(0, len(self), step):
      rows = range(start, min(start + step, len(self)))
      labels[start : start + step] = self._labels(rows)
    return labels

  @functools.cached_property
  def context_ids(self) -> np.ndarray | None:
    """The number of the context that each record is a window of, int64; None of other records."""
    return self._all_ids("context_id")

  @functools.cached_property
  def group_ids(self) -> np.ndarray | None:
    """The number of the group, such as a speaker, that a record is of, int64; None without."""
    return self._all_ids("group_id")

  def _all_ids(self, feature: str) -> np.ndarray | None:
    if not self.has(feature):
      return None
    parts = (range(start, min(start + 1024, len(self))) for start in range(0, len(self), 1024))
    return np.array([number for part in parts for number in self._ids(feature, part)], np.int64)

  def _ids(self, feature: str, rows: range) -> list[int]:
    try:
      return [fields[feature].int64_list.value[0] for fields in self.records(rows)]
    except (RuntimeError, IndexError):  # one of them: find out which
      if len(rows) == 1:
        return [-1]
      return [self._ids(feature, range(row, row + 1))[0] for row in rows]

  def _labels(self, rows: range) -> list[int | None]:
    try:
      return [self.label(fields) for fields in self.records(rows)]
    except (RuntimeError, ValueError):  # one of them: find out which
      if len(rows) == 1:
        return [-1]
      return [self._labels(range(row, row + 1))[0] for row in rows]

  def label(self, fields: Fields) -> int | None:
    """A record's class, None without labels; sets that keep theirs to themselves say -1.

    Raises:
      ValueError: for a class that the dataset has not got.
    """
    if not self.has_labels:
      return None
    found = list(fields["label"].int64_list.value)
    if len(found) != 1 or not -1 <= found[0] < len(self.class_names):
      raise ValueError(f"found class {found}, expected one below {len(self.class_names)}")
    return found[0]

  @functools.cached_property
  def has_labels(self) -> bool:
    """Whether the dataset has a feature "label" of named classes."""
    return hasattr(self._features.get("label"), "names")

  @functools.cached_property
  def class_names(self) -> tuple[str, ...]:
    """The names of the classes, () without labels."""
    return tuple(self._features["label"].names) if self.has_labels else ()

  @functools.cached_property
  def folder(self) -> Path:
    """The folder of the newest prepared version."""
    return _folder(self.name, self.data_dir, key=self.key)

  @functools.cached_property
  def prepared(self) -> Mapping[str, Any]:
    """The facts that `prepare` noted beside the data.

    Raises:
      UserError: for a dataset that something else wrote.
    """
    path = self.folder / "prepared.json"
    try:
      found = read_json(path, inside=self.folder)
      reason = "" if isinstance(found, dict) else "no record of facts"
    except BadFile as error:
      reason = error.reason
    if reason:
      raise UserError(
        f"--{self.key}.datasets: '{self.name}' has no readable prepared.json in {self.folder} "
        f"({reason}), expected a dataset that `python -m pretrainjax.prepare` wrote"
      )
    return found

  def noted(self, fact: str, kind: type) -> Any:
    """Reads one of the facts in `prepared`, of the kind that is expected.

    Raises:
      UserError: where it is not there, or of another kind.
    """
    found = self.prepared.get(fact)
    if type(found) is not kind:  # a bool is an int to Python
      raise UserError(
        f"--{self.key}.datasets: prepared.json of '{self.name}' has {fact}={found!r}, expected "
        f"{_article(kind.__name__)} {kind.__name__}"
      )
    return found

  @property
  def has_split(self) -> bool:
    """Whether the dataset has the split, whole; a part of it may still hold nothing."""
    return self.split.partition("[")[0] in self._builder.info.splits

  @functools.cached_property
  def validation(self) -> "PreparedSplit | None":
    """The dataset's validation split; itself where it is part of it, None without."""
    if self.split.partition("[")[0] == "validation":
      return self
    found = dataclasses.replace(self, split="validation")
    return found if found.has_split else None

  def has(self, feature: str) -> bool:
    """Whether records have a feature of that name."""
    return feature in self._features

  def is_a(self, feature: str, kind: type) -> bool:
    """Whether records have a feature of that name and kind."""
    return isinstance(self._features.get(feature), kind)

  def shape(self, feature: str) -> tuple[int | None, ...]:
    """The shape of a feature; None on axes where records differ."""
    return tuple(self._features[feature].shape)

  def dtype(self, feature: str) -> np.dtype:
    """The dtype of a feature's numbers."""
    return np.dtype(self._features[feature].np_dtype)

  def expect(self, feature: str, kind: type) -> None:
    """Refuses a dataset without a feature of that name and kind.

    Raises:
      UserError: naming the features that it has.
    """
    if not isinstance(self._features.get(feature), kind):
      raise UserError(
        f"--{self.key}.datasets: '{self.name}' has features {', '.join(self._features)}, "
        f"expected {_article(feature)} '{feature}'"
      )

  def _read(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
    rows = [int(i) for i in indices]
    # For a single record the plain way is the faster one.
    return [self._records[rows[0]]] if len(rows) == 1 else self._records.__getitems__(rows)

  @functools.cached_property
  def _features(self) -> Mapping[str, Any]:
    return dict(self._builder.info.features)  # tfds makes a note of every look at its own

  @functools.cached_property
  def _builder(self) -> Any:
    return open_builder(self.folder, flag=f"--{self.key}.datasets")

  @functools.cached_property
  def _records(self) -> Any:
    """The reader of serialised examples: to have tfds parse them costs four times as much."""
    try:
      split = _within(self.split, self._builder.info.splits)
      records = self._builder.as_data_source(split=split).data_source
      if len(records) > 0:
        return records
      raise ValueError("0 length")
    except NotImplementedError as error:
      folder = self._builder.data_path
      raise UserError(
        f"--{self.key}.datasets: '{folder}' is written as {self._builder.info.file_format.value}, "
        f"expected array_record; `pip install 'pretrainjax[prepare]' && tfds convert_format "
        f"--dataset_dir={folder} --out_file_format=array_record --out_dir=OTHER_DATA_DIR`"
      ) from error
    except ValueError as error:
      if "0 length" in str(error) or "__len__" in str(error):  # in the words of array_record
        raise UserError(
          f"--{self.key}.split: '{self.split}' of {self.name} holds no example, expected one at "
          "least"
        ) from error
      splits = list(self._builder.info.splits)
      name = self.split.partition("[")[0]
      hint = nearest(name, splits) if name not in splits else f" ({' '.join(str(error).split())})"
      raise UserError(
        f"--{self.key}.split: '{self.split}' is no split of {self.name}{hint}"
      ) from error


def _within(split: str, sizes: Mapping[str, Any]) -> str:
  """The split with ends that are beyond its own moved to it, as Python's slices have them."""

  def clipped(match: re.Match[str]) -> str:
    name, start, end = match.groups()
    if name in sizes and end and int(end) > sizes[name].num_examples:
      end = ""
    return f"{name}[{start}:{end}]" if start or end else name

  return re.sub(r"(\w+)\[(-?\d*):(\d*)\]", clipped, split)


def open_datasets(
  datasets: str | Mapping[str, float],
  *,
  split: str,
  data_dir: str | None,
  key: str = "config.data",
) -> tuple[PreparedSplit, ...]:
  """Opens one split of one dataset, or of several.

  Args:
    datasets: the name of a dataset, several names with commas, or weights by name.
    split: in the language of tfds.
    data_dir: the folder of the datasets; None is $PRETRAINJAX_DATA, or "data".
    key: the place in the config of the data that names them, for messages.
  """
  folder = data_folder(data_dir)
  return tuple(PreparedSplit(name, split, folder, key) for name in dataset_names(datasets))


def dataset_names(datasets: str | Mapping[str, float]) -> tuple[str, ...]:
  """The names in "NAME", "NAME,NAME" or weights by name.

  Raises:
    ValueError: where there is none, an empty one, or one twice.

  >>> dataset_names("asterisk,tuxpaint")
  ('asterisk', 'tuxpaint')
  """
  names = tuple(datasets.split(",") if isinstance(datasets, str) else datasets)
  if not all(names) or len({*names}) < max(len(names), 1):
    raise ValueError(
      f"datasets={datasets!r}: expected a name, different names with commas, or weights by name"
    )
  return names


def _article(word: str) -> str:
  return "an" if word[0] in "aeiou" else "a"


def _fields(record: bytes) -> Fields:
  try:
    return tf_example_pb2.Example.FromString(record).features.feature
  except DecodeError as error:
    raise RuntimeError("found no record as tfds writes them") from error


def _folder(name: str, data_dir: Path, *, key: str) -> Path:
  """The newest prepared version of a dataset."""
  newest = newest_version(name, data_dir)
  if newest is not None:
    return newest
  if name in OURS:
    command = f"python -m pretrainjax.prepare {name} --data_dir={data_dir}"
  elif name in CATALOGUE:
    command = (
      "pip install 'pretrainjax[prepare]' && "
      f"tfds build {name} --file_format=array_record --data_dir={data_dir}"
    )
  else:
    hint = nearest(name, prepared_names(data_dir) | set(OURS) | set(CATALOGUE))
    raise UserError(f"--{key}.datasets: no dataset '{name}' in '{data_dir}'{hint}")
  raise UserError(f"--{key}.datasets: '{name}' is not in '{data_dir}'; prepare it: {command}")
