"""What one kind of array of an example is; a dataset is such fields by name."""

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from pretrainjax.data.prepared import Fields, PreparedSplit
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.types import Batch


class Place(NamedTuple):
  """The place of an example in the order: all that its random numbers may depend on.

  Attributes:
    piece: which of the record's `pieces` is asked for, from 0.
    seed: the seed of the order.
    position: in the order, this example's alone.
    stream: the stream of random numbers, another one for each field of an example.
  """

  piece: int = 0
  seed: int = 0
  position: int = 0
  stream: int = 0

  def rng(self) -> np.random.Generator:
    """A random generator for this example alone, the same in any thread, process or host."""
    bits = np.random.Philox(key=(self.seed << 64) | self.position)
    return np.random.Generator(bits.jumped(self.stream) if self.stream else bits)


class ArrayShape(NamedTuple):
  """An array that examples have.

  Attributes:
    shape: the shape of one example, without the axis of the batch.
    dtype: the dtype of its numbers.
    low: the lowest number that stands in it.
    high: one above the highest value.
  """

  shape: tuple[int, ...]
  dtype: Any
  low: int = 0
  high: int = 1


class Field:
  """Base of all fields: a frozen dataclass of options that turns records into arrays.

  A field defines `unpack`, `arrays`, `shapes` and `count`, perhaps the
  others. Most are asked of a field that `bind` has told its datasets.

  Attributes:
    sources: the opened datasets that the field reads.
    key: the field's place in the config, for messages.
  """

  sources: ClassVar[tuple[PreparedSplit, ...]] = ()
  key: ClassVar[str] = "config.data"

  def bind(self, sources: tuple[PreparedSplit, ...], *, key: str) -> "Field":
    """A copy of this field that knows the datasets that it reads.

    Args:
      sources: the opened datasets that the field is to read.
      key: the field's place in the config.

    Raises:
      UserError: for datasets that lack a feature, or do not go together.
    """
    bound = copy.copy(self)
    bound.__dict__.update(sources=sources, key=key)
    bound.check()
    return bound

  def check(self) -> None:
    """Raises UserError for `sources` that lack a feature, or do not go together."""

  def settle(self) -> None:
    """Prepares this process, or a worker's, for its threads; called before anything is read."""

  def pieces(self, source: PreparedSplit) -> int:
    """The number of examples that each record is cut into."""
    del source
    return 1

  def unpack(self, source: PreparedSplit, fields: Fields) -> Any:
    """Unpacks a record once, into what `arrays` takes and the cache keeps.

    Raises:
      ValueError: for a record that cannot be unpacked.
    """
    raise NotImplementedError

  def is_empty(self, record: Any, *, piece: int) -> bool:
    """Whether an example holds nothing; the next one then stands in for it."""
    del record, piece
    return False

  def arrays(self, record: Any, place: Place) -> dict[str, np.ndarray]:
    """The field's arrays of one example by name.

    Args:
      record: the unpacked record, from `unpack`.
      place: which example is made.
    """
    raise NotImplementedError

  def shapes(self, sizes: Mapping[str, int]) -> dict[str, ArrayShape]:
    """The arrays that examples may have, by the options alone; no dataset is opened.

    Args:
      sizes: what the network says of itself and no option does, such as "num_channels" and
        "vocab_size".
    """
    raise NotImplementedError

  def count(self, batch: Batch) -> dict[str, int | float]:
    """The size of a batch, or of a process's part of one, by unit of progress ("tokens")."""
    raise NotImplementedError

  # --- rows of several lengths ---------------------------------------------------------------

  @property
  def num_buckets(self) -> int:
    """The number of lengths that rows may have, see `pretrainjax.data.buckets`; 1 by default."""
    return 1

  @property
  def has_lengths(self) -> bool:
    """Whether rows could be of several lengths: `length_of` and `cut` are there for them."""
    return False

  @property
  def length_step(self) -> int:
    """Lengths of rows are multiples of it: kernels like round numbers."""
    return 8

  @property
  def buckets_by(self) -> Literal["rows", "padding"]:
    """By what the lengths of buckets are chosen, see `buckets.bucket_lengths`."""
    return "rows"

  @property
  def longest(self) -> int:
    """The length of a row that holds any record."""
    raise NotImplementedError

  def length_of(self, source: PreparedSplit, fields: Fields) -> int:
    """The length of a record's row, at most `longest`; nothing is unpacked.

    Raises:
      ValueError: for a record without.
    """
    raise NotImplementedError

  def cut(self, arrays: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """An example whose rows are cut to a length that holds them; other fields' arrays stay."""
    raise NotImplementedError

  # --- facts ----------------------------------------------------------------------------------

  @property
  def arrays_with_views(self) -> tuple[str, ...]:
    """Names of arrays that have an axis of views in front, "V ..."."""
    return ()

  @property
  def tag_names(self) -> tuple[str, ...]:
    """The names of the classes of tokens, () where tokens have none."""
    return ()

  @property
  def bytes_per_token(self) -> float:
    """UTF-8 bytes of the texts by their tokens; 0 where there are no texts."""
    return 0.0

  @property
  def tokenizer(self) -> Tokenizer | None:
    """The tokenizer of the texts; None where there are no texts."""
    return None
