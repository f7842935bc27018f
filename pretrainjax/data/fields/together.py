"""Several fields of one record, as a field."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from pretrainjax.data.field import ArrayShape, Field, Place
from pretrainjax.data.prepared import Fields, PreparedSplit
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.types import Batch

# Arrays that the pipeline adds.
_RESERVED = ("label", "valid")


class Part(NamedTuple):
  """The part of a record that one of several fields unpacked.

  Attributes:
    record: the unpacked record of the field.
    is_cut: whether it is the one that examples are cut from; the others come whole with each.
  """

  record: Any
  is_cut: bool

  def piece(self, piece: int) -> int:
    """The number of the piece of this part that an example has."""
    return piece if self.is_cut else 0


@dataclasses.dataclass(frozen=True)
class Together(Field):
  """All fields of an example, as one; a record that one of them cannot unpack is dropped.

  Attributes:
    fields: the fields by name. Each draws its random numbers from a stream of its own, chosen by
      the place of its name in the alphabet; the first one's are those it would have alone.
  """

  fields: Mapping[str, Field]

  def __post_init__(self):
    if not self.fields:
      raise ValueError("fields: found none, expected one at least, by name")
    owners = dict.fromkeys(_RESERVED, "every dataset")
    for name, field in self._by_name():
      for array in field.shapes({}):
        if array in owners:
          raise ValueError(f"fields.{name}: makes '{array}', which {owners[array]} makes, too")
        owners[array] = f"fields.{name}"
    if len(names := [name for name, field in self._by_name() if field.num_buckets > 1]) > 1:
      raise ValueError(f"fields: {' and '.join(names)} have buckets, expected one such field")

  def bind(self, sources: tuple[PreparedSplit, ...], *, key: str) -> Field:
    """See `Field`."""
    bound = {name: f.bind(sources, key=f"{key}.fields.{name}") for name, f in self._by_name()}
    return Field.bind(dataclasses.replace(self, fields=bound), sources, key=key)

  def check(self) -> None:
    """See `Field`; raises UserError also where two fields cut a record into pieces."""
    for source in self.sources:
      self.pieces(source)

  def settle(self) -> None:
    """See `Field`."""
    for _, field in self._by_name():
      field.settle()

  def pieces(self, source: PreparedSplit) -> int:
    """See `Field`; that of the one field that cuts records, if any does."""
    counts = {name: field.pieces(source) for name, field in self._by_name()}
    cutting = [name for name, count in counts.items() if count > 1]
    if len(cutting) > 1:
      raise UserError(
        f"--{self.key}.fields: {' and '.join(cutting)} each cut a record of '{source.name}' into "
        f"pieces ({' and '.join(str(counts[name]) for name in cutting)}), expected one such field"
      )
    return max(counts.values())

  def unpack(self, source: PreparedSplit, fields: Fields) -> tuple[Part, ...]:
    """See `Field`."""
    return tuple(_part(name, field, source, fields) for name, field in self._by_name())

  def is_empty(self, record: tuple[Part, ...], *, piece: int) -> bool:
    """See `Field`."""
    pairs = zip(self._by_name(), record, strict=True)
    return any(field.is_empty(part.record, piece=part.piece(piece)) for (_, field), part in pairs)

  def arrays(self, record: tuple[Part, ...], place: Place) -> dict[str, np.ndarray]:
    """See `Field`."""
    found = {}
    for stream, ((_, field), part) in enumerate(zip(self._by_name(), record, strict=True)):
      here = place._replace(piece=part.piece(place.piece), stream=stream)
      found |= field.arrays(part.record, here)
    return found

  def shapes(self, sizes: Mapping[str, int]) -> dict[str, ArrayShape]:
    """See `Field`."""
    parts = (field.shapes(sizes).items() for _, field in self._by_name())
    return dict(itertools.chain.from_iterable(parts))

  def count(self, batch: Batch) -> dict[str, int | float]:
    """See `Field`; what several fields count in one unit is added."""
    found: dict[str, int | float] = {}
    for _, field in self._by_name():
      for unit, amount in field.count(batch).items():
        found[unit] = found.get(unit, 0) + amount
    return found

  @property
  def tag_names(self) -> tuple[str, ...]:
    """See `Field`; of the one field that has some."""
    return next((f.tag_names for _, f in self._by_name() if f.tag_names), ())

  @property
  def bytes_per_token(self) -> float:
    """See `Field`; of the first field that is of text."""
    return next((f.bytes_per_token for _, f in self._by_name() if f.bytes_per_token), 0.0)

  @property
  def num_buckets(self) -> int:
    """See `Field`."""
    return max(field.num_buckets for _, field in self._by_name())

  @property
  def has_lengths(self) -> bool:
    """See `Field`; where one field's rows alone do."""
    return sum(field.has_lengths for _, field in self._by_name()) == 1

  @property
  def length_step(self) -> int:
    """See `Field`."""
    return self._bucketed.length_step

  @property
  def buckets_by(self) -> Literal["rows", "padding"]:
    """See `Field`."""
    return self._bucketed.buckets_by

  @property
  def longest(self) -> int:
    """See `Field`."""
    return self._bucketed.longest

  def length_of(self, source: PreparedSplit, fields: Fields) -> int:
    """See `Field`; that of the one field that has buckets."""
    return self._bucketed.length_of(source, fields)

  def cut(self, arrays: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """See `Field`."""
    return self._bucketed.cut(arrays, length)

  @property
  def _bucketed(self) -> Field:
    fields = [field for _, field in self._by_name()]
    having = (field for field in fields if field.has_lengths)
    return next((field for field in fields if field.num_buckets > 1), None) or next(having)

  @property
  def arrays_with_views(self) -> tuple[str, ...]:
    """See `Field`."""
    return tuple(array for _, field in self._by_name() for array in field.arrays_with_views)

  @property
  def tokenizer(self) -> Tokenizer | None:
    """See `Field`; a dataset has one."""
    found = (field.tokenizer for _, field in self._by_name())
    return next((tokenizer for tokenizer in found if tokenizer is not None), None)

  def _by_name(self) -> list[tuple[str, Field]]:
    # Configs do not keep the order of names.
    return sorted(self.fields.items())


def _part(name: str, field: Field, source: PreparedSplit, fields: Fields) -> Part:
  try:
    return Part(field.unpack(source, fields), is_cut=field.pieces(source) > 1)
  except ValueError as error:
    raise ValueError(f"{name}: {error}") from error
