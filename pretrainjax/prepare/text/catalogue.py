"""Texts out of a tfds dataset that someone prepared as array_record."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pretrainjax.data.dataset_folder import newest_version, open_builder, prepared_names
from pretrainjax.errors import UserError, nearest
from pretrainjax.prepare.contract import Corpus, Part, Unreadable
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.fields import Fields

_FLAG = "--config.source.dataset"


def open_dataset(name: str, *, data_dir: Path, fields: Fields) -> Corpus:
  """Opens the newest version of a dataset.

  Args:
    name: the name of a dataset, "imdb_reviews", "glue/mrpc".
    data_dir: the folder in which datasets lie.
    fields: which feature of the dataset is what.

  Returns:
    Its documents, in the splits that it has; a dataset with "train" alone leaves that to us.

  Raises:
    UserError: where it is not there, lacks a feature, or is not array_record.
  """
  folder = newest_version(name, data_dir)
  if folder is None:
    raise UserError(
      f"{_FLAG}: no dataset '{name}' in '{data_dir}'{nearest(name, prepared_names(data_dir))}"
    )
  builder = open_builder(folder, flag=_FLAG)
  features = builder.info.features
  missing = [field for field in fields.names() if field not in features]
  if missing:
    hint = nearest(missing[0], list(features))
    raise UserError(f"{_FLAG}: '{name}' has no feature '{missing[0]}'{hint}")
  try:
    builder.as_data_source(split=None)
  except NotImplementedError as error:
    raise UserError(
      f"{_FLAG}: '{folder}' is written as {builder.info.file_format.value}, expected array_record"
    ) from error
  splits = sorted(builder.info.splits, key=lambda split: split == "train")  # held-out ones first
  sizes = {split: builder.info.splits[split].num_examples for split in splits}
  return Corpus(
    origin=str(folder),
    identity=json.dumps([str(folder.resolve()), sizes]),
    size=sum(sizes.values()),
    parts=lambda: (_part(builder, split, fields, splits=splits) for split in splits),
    class_names=_names(features[fields.label]) if fields.label else None,
    splits=tuple(splits) if splits != ["train"] else (),
  )


def _part(builder: Any, split: str, fields: Fields, *, splits: list[str]) -> Part:
  count = builder.info.splits[split].num_examples
  given = None if splits == ["train"] else split
  names = {
    field: names
    for field in (fields.label, fields.tags)
    if field and (names := _names(builder.info.features[field]))
  }

  def records() -> Iterator[Document | Unreadable]:
    examples = builder.as_data_source(split=split)
    for index in range(count):
      try:
        example = examples[index]
      except Exception:  # array_record, protobuf and tfds raise many kinds for damage
        yield Unreadable(f"{split}:{index}", "damaged record")
        continue
      record = {field: _plain(example[field]) for field in fields.names()}
      for field, known in names.items():
        record[field] = _to_names(record[field], known)
      yield fields.document(record, key=f"{split}:{index}", split=given)

  return Part(split, count, records)


def _names(feature: Any) -> tuple[str, ...] | None:
  """Class names of a ClassLabel, or of a sequence of them."""
  feature = getattr(feature, "feature", feature)
  return tuple(feature.names) if hasattr(feature, "names") else None


def _to_names(value: Any, names: tuple[str, ...]) -> Any:
  """Names in place of numbers; tfds marks what is not known by -1."""
  if isinstance(value, list):
    return [_to_names(v, names) for v in value]
  return names[value] if 0 <= value < len(names) else None


def _plain(value: Any) -> Any:
  return value.tolist() if hasattr(value, "tolist") else value
