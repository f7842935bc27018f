"""Prepared tfds datasets, read without TensorFlow: raw bytes and labels by index."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int
from tensorflow_datasets.proto import tf_example_pb2

from pretrainjax.errors import UserError, nearest

OURS = ("fashion_mnist", "digits")
# Sets of the public catalogue that configs here name; others work too once they are prepared.
CATALOGUE = ("mnist", "cifar10", "cifar100", "imagenet2012", "eurosat", "food101")


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

  def records(
    self, indices: Sequence[int] | Int[np.ndarray, " S"]
  ) -> list[tuple[bytes, int | None]]:
    """Images, still packed, and their classes (None without labels); many at once are faster."""
    found = [_features(record) for record in self._read(indices)]
    return [(f["image"].bytes_list.value[0], self._label(f)) for f in found]

  @functools.cached_property
  def labels(self) -> np.ndarray:
    """All classes, int32; reads every record, but unpacks no image."""
    labels, step = np.empty(len(self), np.int32), 1024
    for start in range(0, len(self), step):
      records = self._read(range(start, min(start + step, len(self))))
      labels[start : start + step] = [self._label(_features(record)) for record in records]
    return labels

  @functools.cached_property
  def has_labels(self) -> bool:
    """Whether the dataset has a feature "label" of named classes."""
    features = self._builder.info.features
    return "label" in features and hasattr(features["label"], "names")

  @property
  def class_names(self) -> tuple[str, ...]:
    """One a class, () without labels."""
    return tuple(self._builder.info.features["label"].names) if self.has_labels else ()

  @property
  def image_shape(self) -> tuple[int | None, ...]:
    """(H, W, C); None where images differ."""
    return tuple(self._builder.info.features["image"].shape)

  @property
  def channels(self) -> int:
    """Of every image, 1 or 3: files may differ, the dataset does not."""
    return 1 if self.image_shape[-1] == 1 else 3

  def _read(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
    rows = [int(i) for i in indices]
    # For a single record the plain way is the faster one.
    return [self._records[rows[0]]] if len(rows) == 1 else self._records.__getitems__(rows)

  def _label(self, features: Mapping[str, Any]) -> int | None:
    return features["label"].int64_list.value[0] if self.has_labels else None

  @functools.cached_property
  def _builder(self) -> Any:
    builder = tfds.builder_from_directory(_folder(self.name, self.data_dir))
    features = builder.info.features
    if "image" not in features or not isinstance(features["image"], tfds.features.Image):
      found = ", ".join(features)
      raise UserError(
        f"--config.data.datasets: '{self.name}' has features {found}, expected an 'image'"
      )
    return builder

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


def _features(record: bytes) -> Mapping[str, Any]:
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
