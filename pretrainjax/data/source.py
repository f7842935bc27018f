"""Prepared tfds datasets, read without TensorFlow: records and labels by index."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from tensorflow_datasets.proto import tf_example_pb2

from pretrainjax.errors import UserError, nearest

OURS = ("fashion_mnist", "digits", "sotu", "spam_assassin", "wordnet")
# Sets of the public catalogue that configs here name; others work too once they are prepared.
CATALOGUE = ("mnist", "cifar10", "cifar100", "imagenet2012", "eurosat", "food101")

# A record's features by name, not yet unpacked: `fields["image"].bytes_list.value[0]`.
Fields = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Source:
  """One split of a prepared dataset.

  Attributes:
    name: of the dataset, "cifar10" or "name/config".
    split: in the language of tfds, "train[:10%]".
    data_dir: where datasets lie.
  """

  name: str
  split: str
  data_dir: Path

  def __len__(self) -> int:
    return len(self._records)

  def records(self, indices: Sequence[int] | Int[np.ndarray, " S"]) -> list[Fields]:
    """The records' features, still packed; many at once are faster."""
    return [_fields(record) for record in self._read(indices)]

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """All classes, int32; reads every record, but unpacks none."""
    labels, step = np.empty(len(self), np.int32), 1024
    for start in range(0, len(self), step):
      records = self._read(range(start, min(start + step, len(self))))
      labels[start : start + step] = [self.label(_fields(record)) for record in records]
    return labels

  def label(self, fields: Fields) -> int | None:
    """A record's class, None without labels."""
    return fields["label"].int64_list.value[0] if self.has_labels else None

  @functools.cached_property
  def has_labels(self) -> bool:
    """Whether the dataset has a feature "label" of named classes."""
    return hasattr(self._features.get("label"), "names")

  @functools.cached_property
  def class_names(self) -> tuple[str, ...]:
    """One a class, () without labels."""
    return tuple(self._features["label"].names) if self.has_labels else ()

  @functools.cached_property
  def folder(self) -> Path:
    """Of the newest prepared version."""
    return _folder(self.name, self.data_dir)

  @functools.cached_property
  def prepared(self) -> Mapping[str, Any]:
    """What `prepare` noted beside the data.

    Raises:
      UserError: for a dataset that something else wrote.
    """
    path = self.folder / "prepared.json"
    try:
      return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
      reason = getattr(error, "strerror", None) or "no JSON"
      raise UserError(
        f"--config.data.datasets: '{self.name}' has no readable prepared.json in {self.folder} "
        f"({reason}), expected a dataset that `python -m pretrainjax.prepare` wrote"
      ) from error

  def has(self, feature: str) -> bool:
    """Whether records have a feature of that name."""
    return feature in self._features

  def shape(self, feature: str) -> tuple[int | None, ...]:
    """Of a feature; None where records differ."""
    return tuple(self._features[feature].shape)

  def dtype(self, feature: str) -> np.dtype:
    """Of a feature's numbers."""
    return np.dtype(self._features[feature].np_dtype)

  def expect(self, feature: str, kind: type) -> None:
    """Refuses a dataset without a feature of that name and kind.

    Raises:
      UserError: naming the features that it has.
    """
    if not isinstance(self._features.get(feature), kind):
      raise UserError(
        f"--config.data.datasets: '{self.name}' has features {', '.join(self._features)}, "
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
    return tfds.builder_from_directory(self.folder)

  @functools.cached_property
  def _records(self) -> Any:
    """The reader of serialised examples: to have tfds parse them costs four times as much."""
    try:
      return self._builder.as_data_source(split=self.split).data_source
    except NotImplementedError as error:
      folder = self._builder.data_path
      raise UserError(
        f"--config.data.datasets: '{folder}' is written as {self._builder.info.file_format.value}, "
        f"expected array_record; `pip install 'pretrainjax[prepare]' && tfds convert_format "
        f"--dataset_dir={folder} --out_file_format=array_record --out_dir=OTHER_DATA_DIR`"
      ) from error
    except ValueError as error:
      splits = list(self._builder.info.splits)
      name = self.split.partition("[")[0]
      hint = nearest(name, splits) if name not in splits else f" ({' '.join(str(error).split())})"
      raise UserError(
        f"--config.data.split: '{self.split}' is no split of {self.name}{hint}"
      ) from error


def _article(word: str) -> str:
  return "an" if word[0] in "aeiou" else "a"


def _fields(record: bytes) -> Fields:
  return tf_example_pb2.Example.FromString(record).features.feature


def _folder(name: str, data_dir: Path) -> Path:
  """The newest prepared version of a dataset."""
  versions = [p.parent for p in (data_dir / name).glob("*/dataset_info.json")]
  if versions:
    return max(versions, key=lambda path: [int(n) for n in path.name.split(".") if n.isdigit()])
  if name in OURS:
    command = f"python -m pretrainjax.prepare {name} --data_dir={data_dir}"
  elif name in CATALOGUE:
    command = (
      "pip install 'pretrainjax[prepare]' && "
      f"tfds build {name} --file_format=array_record --data_dir={data_dir}"
    )
  else:
    prepared = {p.parents[1].name for p in data_dir.glob("*/*/dataset_info.json")}
    hint = nearest(name, prepared | set(OURS) | set(CATALOGUE))
    raise UserError(f"--config.data.datasets: no dataset '{name}' in '{data_dir}'{hint}")
  raise UserError(f"--config.data.datasets: '{name}' is not in '{data_dir}'; prepare it: {command}")
