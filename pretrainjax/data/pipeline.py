"""From prepared datasets to batches of any modality; the order is a function of (seed, step)."""

import dataclasses
import functools
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal

import grain
import numpy as np
from absl import flags

from pretrainjax.data.buckets import (
  Buckets,
  Padding,
  Unsorted,
  bucket_lengths,
  padding_of,
  pass_by_length,
  record_lengths,
)
from pretrainjax.data.field import ArrayShape, Field
from pretrainjax.data.fingerprint import Fingerprint, dataset_fingerprint
from pretrainjax.data.load import Load, unpacked
from pretrainjax.data.prefetch import Prefetched
from pretrainjax.data.prepared import PreparedSplit, dataset_names, open_datasets
from pretrainjax.data.subset import Subset, rows_used
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.process.data_workers import EndWithTrainer
from pretrainjax.ranges import (
  Fraction,
  NonNegativeInt,
  PositiveFraction,
  PositiveInt,
  Seed,
  check_ranges,
)
from pretrainjax.types import Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pipeline:
  """Examples of one dataset, or of several mixed; a subclass says which field they are made of.

  Attributes:
    datasets: name of a prepared tfds dataset; several with commas are as one; or weights by name.
    split: in the language of tfds, "train[:10%]".
    part: "held_out" is what a run may be judged by before it is done: the dataset's validation
      split, or 5 % of each class of `split` where it has none; "fit" is what is then left of it to
      learn from, and "all" the whole.
    data_dir: the folder in which datasets lie; None is $PRETRAINJAX_DATA, or "data".
    batch_size: the rows of a batch over all devices and hosts.
    label_fraction: share of each class that is used, in (0, 1].
    examples_per_class: so many examples of each class in place of a share, of each dataset; a
      class with fewer keeps all it has, with a warning.
    label_seed: the seed by which these are chosen.
    cache: "memory" unpacks all records once and keeps them, for small datasets.
    num_threads: the number of threads that read, unpack and transform.
    num_workers: processes that do so instead; 0 is right unless a transform is heavy Python.
    max_bad_fraction: the run fails when more of the records read cannot be unpacked.
    config_key: the place in the config, which `build` sets, for messages.
  """

  config_key: ClassVar[str] = "config.data"

  datasets: str | Mapping[str, float]
  split: str = "train"
  part: Literal["all", "fit", "held_out"] = "all"
  data_dir: str | None = None
  batch_size: PositiveInt
  label_fraction: PositiveFraction = 1.0
  examples_per_class: PositiveInt | None = None
  label_seed: Seed = 0
  cache: Literal["none", "memory"] = "none"
  num_threads: PositiveInt = 2
  num_workers: NonNegativeInt = 0
  max_bad_fraction: Fraction = 0.01

  def __post_init__(self):
    check_ranges(self)
    dataset_names(self.datasets)  # which checks them
    weights = () if isinstance(self.datasets, str) else self.datasets.values()
    if not all(0 < weight < np.inf for weight in weights):
      raise ValueError(f"datasets={dict(self.datasets)}: weights are above 0, and finite")
    if self.examples_per_class is not None and self.label_fraction != 1:
      raise ValueError("examples_per_class, label_fraction: found both, expected one of them")
    if self.cache == "memory" and self.num_workers:
      raise ValueError("num_workers: with cache='memory' expected 0, each would hold all records")
    self.make_field()  # which checks its options

  def make_field(self) -> Field:
    """Makes the field of an example's arrays, not yet of any dataset; each subclass defines it."""
    raise NotImplementedError

  # --- facts --------------------------------------------------------------------------------

  @property
  def num_examples(self) -> int:
    """The number of examples of one epoch, over all datasets."""
    return sum(len(rows) for rows in self.rows_used)

  @property
  def num_classes(self) -> int:
    """The number of classes of the labels, 0 without any."""
    return len(self.class_names)

  @functools.cached_property
  def class_names(self) -> tuple[str, ...]:
    """The classes' names; none where mixed datasets differ in theirs, whose labels are left out."""
    names = {source.class_names for source in self.sources}
    return names.pop() if len(names) == 1 else ()

  def has(self, array: str) -> bool:
    """Whether examples have an array such as "label", "score" or "tags"."""
    if array == "label":
      return bool(self.class_names)
    return all(source.has(array) for source in self.sources)

  @property
  def sources(self) -> tuple[PreparedSplit, ...]:
    """The datasets, opened and checked."""
    return self.field.sources

  @functools.cached_property
  def field(self) -> Field:
    """The field of `make_field`, bound to the datasets, which are opened and checked."""
    sources = open_datasets(
      self.datasets, split=self.split, data_dir=self.data_dir, key=self.config_key
    )
    if self.part == "held_out":
      sources = tuple(source.validation or source for source in sources)
    return self.make_field().bind(sources, key=self.config_key)

  @property
  def fingerprints(self) -> dict[str, Fingerprint]:
    """A fingerprint of each dataset, by its name."""
    return {source.name: dataset_fingerprint(source.folder) for source in self.sources}

  def shapes(self, sizes: Mapping[str, int]) -> dict[str, ArrayShape]:
    """The arrays of examples by what the config says, see `Field`; no dataset is opened.

    Args:
      sizes: the sizes of the network, see there.
    """
    return self.make_field().shapes(sizes) | {"label": ArrayShape((), np.int32)}

  @property
  def arrays_with_views(self) -> tuple[str, ...]:
    """Names of a batch's arrays that have an axis of views, "B V ..."."""
    return self.make_field().arrays_with_views

  def count(self, batch: Batch) -> dict[str, int | float]:
    """The size of a batch, or of a process's part of one, by unit of progress ("tokens")."""
    return self.make_field().count(batch)

  @property
  def tokenizer(self) -> Tokenizer | None:
    """The tokenizer of the texts; None where there are none."""
    return self.field.tokenizer

  # --- batches ------------------------------------------------------------------------------

  def batches(
    self, *, seed: int, start: int = 0, process_index: int = 0, process_count: int = 1
  ) -> Prefetched:
    """Yields training batches without end, shuffled anew each epoch.

    Step t's rows over all processes, one behind the other, are the same whatever their number, and
    whatever `start`.

    Args:
      seed: the seed of the order and the transforms.
      start: the number of the first step, from 0.
      process_index: whose rows to return.
      process_count: processes that share the batch.

    Returns:
      An iterator of dicts of arrays, to be closed.
    """
    self._open()
    if self.batch_size % process_count:
      raise UserError(
        f"--{self.config_key}.batch_size: found {self.batch_size}, expected a multiple of "
        f"{process_count} processes"
      )
    self._refuse_a_batch_beyond_memory(self.batch_size // process_count)
    # Shuffle, repeat, number, batch, THEN slice: the global order must not know of processes, and
    # each must hold consecutive rows, as their devices do: a row's place decides its random keys.
    rows = self._examples(seed)
    parts = rows.batch(self.batch_size // process_count, drop_remainder=True)
    batches = parts[process_index::process_count]
    options = grain.ReadOptions(num_threads=self.num_threads, prefetch_buffer_size=4)
    iterable = batches[start:].to_iter_dataset(options)
    if self.num_workers:
      workers = grain.MultiprocessingOptions(num_workers=self.num_workers)
      iterable = iterable.mp_prefetch(workers, EndWithTrainer(os.getpid()))
    return Prefetched(iter(iterable))

  def keys(
    self, *, seed: int, step: int, process_index: int = 0, process_count: int = 1
  ) -> list[str]:
    """The names of the records in a batch of `batches`, "fashion_mnist/train/123", row by row.

    They are found anew from the order, so that batches need not carry them. A piece of a record
    has its number behind, "sotu/train/7+2"; where a record cannot be read, or is empty, the one
    that stands in for it is named.

    Args:
      seed: the seed of the order.
      step: which batch, from 0.
      process_index: the rank of the process whose rows are asked for.
      process_count: processes that share the batch.
    """
    self._open()
    order, load = self._arranged(seed), Load(self, seed)
    size = self.batch_size // process_count
    first = step * self.batch_size + process_index * size
    with ThreadPoolExecutor(self.num_threads) as pool:
      return list(pool.map(lambda row: load.name(order[row]), range(first, first + size)))

  def one_pass(self, *, skip: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """Yields batches that hold each example once, in order, but for the first `skip` batches.

    "valid" is False for the rows that fill the last batch up, and for examples that are empty or
    whose record cannot be unpacked, in whose place another one stands.
    """
    self._open()
    self._refuse_a_batch_beyond_memory(self.batch_size)
    load = Load(self, 0)
    keys = [(s, i) for s, rows in enumerate(self.rows_used) for i in range(len(rows))]
    with ThreadPoolExecutor(self.num_threads) as pool:
      for start in range(skip * self.batch_size, len(keys), self.batch_size):
        part = keys[start : start + self.batch_size]
        rows = list(pool.map(load.in_order, range(start, start + len(part)), part))
        rows += [rows[-1] | {"valid": np.False_}] * (self.batch_size - len(rows))
        yield {key: np.stack([row[key] for row in rows]) for key in rows[0]}

  def pass_by_length(self) -> Iterator[dict[str, np.ndarray]]:
    """Each example once as in `one_pass`, but in rows as short as they can be.

    Rows of like length are in one batch, cut to one of a few lengths where the field has rows of
    several. "index" is the place of each example in `one_pass`, -1 for what fills a batch up.
    """
    self._open()
    self._refuse_a_batch_beyond_memory(self.batch_size)
    load = Load(self, 0)
    keys = [(s, i) for s, rows in enumerate(self.rows_used) for i in range(len(rows))]
    with ThreadPoolExecutor(self.num_threads) as pool:
      for places, length in self._pass_rows:
        rows = list(pool.map(load.in_order, places.tolist(), [keys[i] for i in places]))
        if length is not None:
          rows = [self.field.cut(row, length) for row in rows]
        missing = self.batch_size - len(rows)
        rows += [rows[-1] | {"valid": np.False_}] * missing
        batch = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        yield batch | {"index": np.pad(places, (0, missing), constant_values=-1)}

  @functools.cached_property
  def _pass_rows(self) -> list[tuple[np.ndarray, int | None]]:
    """Places and row length of each batch of `pass_by_length`."""
    count, size = self.num_examples, self.batch_size
    if not self.field.has_lengths:
      return [(np.arange(i, min(i + size, count)), None) for i in range(0, count, size)]
    lengths = np.concatenate(self._record_lengths)
    shape = {"longest": self.field.longest, "step": self.field.length_step}
    return list(pass_by_length(lengths, batch_size=size, **shape))

  @functools.cached_property
  def rows_used(self) -> tuple[np.ndarray, ...]:
    """The examples of each source that are used, as numbers record * pieces + piece."""
    subset = Subset(self.part, self.label_fraction, self.examples_per_class, self.label_seed)
    return tuple(
      rows_used(source, subset, pieces=pieces)
      for source, pieces in zip(self.sources, self.num_pieces, strict=True)
    )

  @functools.cached_property
  def num_pieces(self) -> tuple[int, ...]:
    """The number of pieces that each source's records are cut into."""
    return tuple(self.field.pieces(source) for source in self.sources)

  @functools.cached_property
  def _example_bytes(self) -> int:
    """The bytes of the first example; arrays of others are as large."""
    return sum(value.nbytes for value in Load(self, 0).in_order(0, (0, 0)).values())

  @functools.cached_property
  def cached(self) -> tuple[dict[int, Any], ...] | None:
    """The unpacked records in memory by number, of each source; None without a cache."""
    if self.cache == "none":
      return None
    cached = []
    for source, rows, pieces in zip(self.sources, self.rows_used, self.num_pieces, strict=True):
      numbers = np.unique(rows // pieces)
      parts = [numbers[start : start + 1024] for start in range(0, len(numbers), 1024)]
      records = [record for part in parts for record in unpacked(self.field, source, part)]
      cached.append(dict(zip(numbers.tolist(), records, strict=True)))
    return tuple(cached)

  def _order(self, seed: int) -> grain.MapDataset:
    """(source, row) for every position, without end."""
    orders = [
      grain.MapDataset.range(len(rows)).seed(seed + i).shuffle().repeat().map(_Tag(i))
      for i, rows in enumerate(self.rows_used)
    ]
    if len(orders) == 1:
      return orders[0]
    by_name = isinstance(self.datasets, Mapping)
    weights = self.datasets.values() if by_name else map(len, self.rows_used)
    return grain.MapDataset.mix(orders, weights=[float(weight) for weight in weights])

  def _examples(self, seed: int) -> grain.MapDataset:
    """The example of every position, without end."""
    load = Load(self, seed)
    if self.padding is None:
      return self._order(seed).map_with_index(load.at)
    arranged = self._arranged(seed)
    return grain.MapDataset.range(sys.maxsize).map(_Arranged(arranged, load))

  def _arranged(self, seed: int) -> Buckets | Unsorted:
    """What stands at every place of the order that batches are cut from."""
    if self.padding is None:
      return Unsorted(self._order(seed))
    return Buckets(
      self._order(seed),
      self.row_lengths,
      buckets=self.padding.lengths,
      batch_size=self.batch_size,
      seed=seed,
    )

  @functools.cached_property
  def row_lengths(self) -> tuple[np.ndarray, ...]:
    """How long the row of each example used is, where rows are of several lengths; else ()."""
    return () if self.field.num_buckets == 1 else self._record_lengths

  @functools.cached_property
  def _record_lengths(self) -> tuple[np.ndarray, ...]:
    pairs = zip(self.sources, self.rows_used, self.num_pieces, strict=True)
    return tuple(record_lengths(source, rows // n, self.field) for source, rows, n in pairs)

  @functools.cached_property
  def padding(self) -> Padding | None:
    """The share of padding that rows of several lengths have; None where all have one."""
    if not self.row_lengths:
      return None
    lengths = np.concatenate(self.row_lengths)
    sizes = {"buckets": self.field.num_buckets, "longest": self.field.longest}
    sizes |= {"step": self.field.length_step, "by": self.field.buckets_by}
    return padding_of(lengths, bucket_lengths(lengths, **sizes))

  def _open(self) -> None:
    self.field.settle()
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()  # grain's workers read absl flags
    _ = self.rows_used, self.cached, self.padding  # mistakes are the caller's, not a thread's

  def _refuse_a_batch_beyond_memory(self, rows: int) -> None:
    """Raises UserError for a batch, of so many rows here, that the machine cannot hold once."""
    needed = rows * self._example_bytes
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
      raise UserError(
        f"--{self.config_key}.batch_size: found {self.batch_size}, of which this machine would "
        f"hold {needed / 1e9:.3g} GB; expected less than its memory, {memory / 1e9:.3g} GB"
      )


@dataclasses.dataclass(frozen=True)
class _Arranged:
  """Makes the example at a place of an arranged order."""

  order: Buckets
  load: Load

  def __call__(self, place: int) -> dict[str, np.ndarray]:
    return self.load(self.order[place])


@dataclasses.dataclass(frozen=True)
class _Tag:
  """Says which source a row belongs to."""

  source: int

  def __call__(self, row: int) -> tuple[int, int]:
    return self.source, row
