"""What is done to images: compared between splits, held out, ordered by a hash of their keys."""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Encoded, Opened, Size
from pretrainjax.prepare.image.example import Image
from pretrainjax.prepare.image.table import ImageTable
from pretrainjax.prepare.image.told import facts
from pretrainjax.prepare.stages.appended import Appended
from pretrainjax.prepare.stages.example_table import Row
from pretrainjax.prepare.stages.tally import Tally

LISTED = 1000  # in prepared.json; the whole lists are in files of their own
_FILE = "images.bin"
_STAGE, _HELD_OUT = "settle", "held out"


@dataclasses.dataclass(frozen=True)
class ImagePreparation:
  """The settings by which a dataset of images is prepared.

  Attributes:
    drop_duplicates: whether training images whose pixels stand in another split too are left out;
      they are reported either way.
  """

  drop_duplicates: bool = False

  noun = "image"
  unreadable = "images cannot be decoded"

  def settings(self) -> dict[str, Any]:
    """Plain data that says what is done to the images of the source."""
    return dataclasses.asdict(self)

  def tally(self, facts: Mapping[str, Any]) -> Tally:
    """Counts, empty or as a journal kept them."""
    return Tally(**facts)

  def collector(self, opened: Opened, files: Appended) -> "ImageCollector":
    """Keeps the images' bytes in one file, and what is known of them in a table."""
    return ImageCollector(opened, files)

  def encode(self, opened: Opened) -> Encoded:
    """Decides which image is in which split and place; records are made as they are written."""
    table, journal = ImageTable(opened.journal.database), opened.journal
    class_names = journal.get(_STAGE)
    if class_names is None:
      journal.begin()
      class_names = self._settle(table, opened)
      journal.put(_STAGE, class_names)
      journal.commit()  # all of it or nothing
    sizes = {split: Size(*size) for split, size in table.sizes().items()}
    if "train" not in sizes and "train" in opened.tally.kept:
      raise UserError(
        f"{opened.corpus.origin}: every training image is in another split too; leave them in by "
        "--config.drop_duplicates=false"
      )
    numbers = {name: number for number, name in enumerate(class_names)}
    return Encoded(
      splits=sizes,
      features=_features(table.shape(), class_names),
      records=lambda split, done: _records(
        table.rows(split, start=done), opened.folder / _FILE, numbers
      ),
      report=_report(table, sizes, class_names)
      | facts(table, opened.corpus, held_out=journal.get(_HELD_OUT, "own splits")),
      texts=_lists(table),
      info={"supervised_keys": ("image", "label")} if class_names else {},
    )

  def _settle(self, table: ImageTable, opened: Opened) -> list[str]:
    """Names the classes, and fills in what can be known only when all images were seen."""
    labelled, bare = table.with_and_without_class()
    corpus = opened.corpus
    if labelled is not None and bare is not None:
      raise UserError(
        f"{corpus.origin}: holds images with a class ({labelled}) and without ({bare}); move them, "
        "or leave classes out by --config.source.labels=none"
      )
    class_names = corpus.class_names if corpus.class_names is not None else table.class_names()
    if corpus.holdout is not None:
      opened.journal.put(_HELD_OUT, table.hold_out(corpus.holdout, class_names))
    table.find_duplicates()
    if self.drop_duplicates:
      table.drop_duplicates()
    table.shuffle()
    return list(class_names)


class ImageCollector:
  """Keeps every image that comes."""

  def __init__(self, opened: Opened, files: Appended):
    self._files, self._tally = files, opened.tally
    self._table = ImageTable(opened.journal.database)

  def drop(self, key: str, reason: str) -> None:
    """Notes what is left out, all of it."""
    self._table.drop(key, reason)

  def take(self, example: Image) -> None:
    """Keeps an image."""
    self._table.add(example, self._files.append(_FILE, example.data))
    self._tally.keep(example.split)


def _features(
  shape: tuple[int | None, int | None, int], class_names: Iterable[str]
) -> dict[str, Any]:
  features: dict[str, Any] = {
    "image": tfds.features.Image(shape=shape),
    "filename": tfds.features.Text(),
  }
  names = list(class_names)
  return features | ({"label": tfds.features.ClassLabel(names=names)} if names else {})


def _records(rows: Iterable[Row], path: Path, numbers: Mapping[str, int]) -> Iterator[bytes]:
  """Records as tfds would write them, with the bytes that lie anywhere in a file."""
  with open(path, "rb") as file:
    for row in rows:
      data = os.pread(file.fileno(), row.size, row.offset)
      values = {"image": _of_bytes(data), "filename": _of_bytes(row.key.encode())}
      if row.label is not None:
        number = tf_feature_pb2.Int64List(value=[numbers[row.label]])
        values["label"] = tf_feature_pb2.Feature(int64_list=number)
      features = tf_feature_pb2.Features(feature=values)
      example = tf_example_pb2.Example(features=features)
      yield example.SerializeToString(deterministic=True)


def _of_bytes(data: bytes) -> tf_feature_pb2.Feature:
  return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=[data]))


def _report(table: ImageTable, sizes: Mapping[str, Size], class_names: list[str]) -> dict[str, Any]:
  return {
    "written": {split: size.examples for split, size in sizes.items()},
    "classes": len(class_names),
    "dropped": table.dropped_by_reason(),
    "dropped_files": [list(row) for row in itertools.islice(table.dropped(), LISTED)],
    "num_duplicates_between_splits": table.num_duplicates(),
    "duplicates_between_splits": [
      list(twice) for twice in itertools.islice(table.duplicates(), LISTED)
    ],
    "duplicates_are_equal_in": "decoded pixels",
  }


def _lists(table: ImageTable) -> dict[str, Iterator[str]]:
  """The whole of what prepared.json has the first of, one JSON list a line."""
  lists = {}
  if table.num_dropped():
    lists["dropped.jsonl"] = table.dropped()
  if table.num_duplicates():
    lists["duplicates.jsonl"] = table.duplicates()
  if any(table.remarks()):
    lists["remarks.jsonl"] = table.remarked()
  return {name: (json.dumps(list(row)) + "\n" for row in rows) for name, rows in lists.items()}
