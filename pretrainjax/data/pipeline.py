"""From prepared datasets to batches; the order is a function of (seed, step)."""

import dataclasses
import functools
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import cv2
import grain
import numpy as np
from absl import flags

from pretrainjax.data.image import Transform, decode
from pretrainjax.data.prefetch import Prefetched
from pretrainjax.data.source import Source
from pretrainjax.data.subset import stratified
from pretrainjax.errors import UserError

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageData:
  """Images of one dataset, or of several mixed.

  Attributes:
    datasets: name of a prepared tfds dataset, or weights by name.
    split: in the language of tfds, "train[:10%]".
    data_dir: where datasets lie; None is $PRETRAINJAX_DATA, or "data".
    batch_size: over all devices and hosts.
    transform: of each image, see `pretrainjax.data.image`.
    views: how often each image is transformed; above 1 gives "B V H W C".
    label_fraction: share of each class that is used, in (0, 1].
    label_seed: chooses it.
    cache: "memory" unpacks all images once and keeps them, for small datasets.
    num_threads: that read, unpack and transform.
    num_workers: processes that do so instead; 0 is right unless a transform is heavy Python.
    max_bad_fraction: the run fails when more of the records read cannot be unpacked.
  """

  datasets: str | Mapping[str, float]
  split: str = "train"
  data_dir: str | None = None
  batch_size: int
  transform: Transform
  views: int = 1
  label_fraction: float = 1.0
  label_seed: int = 0
  cache: Literal["none", "memory"] = "none"
  num_threads: int = 2
  num_workers: int = 0
  max_bad_fraction: float = 0.01

  def __post_init__(self):
    for name, low in (("batch_size", 1), ("views", 1), ("num_threads", 1), ("num_workers", 0)):
      if getattr(self, name) < low:
        raise ValueError(f"{name}={getattr(self, name)}: expected at least {low}")
    if not 0 < self.label_fraction <= 1:
      raise ValueError(f"label_fraction={self.label_fraction}: expected in (0, 1]")
    if not 0 <= self.max_bad_fraction <= 1:
      raise ValueError(f"max_bad_fraction={self.max_bad_fraction}: expected in [0, 1]")
    if not self.datasets:
      raise ValueError(f"datasets={self.datasets!r}: expected a name, or weights by name")
    if not isinstance(self.datasets, str) and not all(w > 0 for w in self.datasets.values()):
      raise ValueError(f"datasets={dict(self.datasets)}: weights are above 0")
    if self.cache == "memory" and self.num_workers:
      raise ValueError("num_workers: with cache='memory' expected 0, each would hold all images")

  @property
  def num_examples(self) -> int:
    """Of one epoch, over all datasets."""
    return sum(len(rows) for rows in self._rows)

  @property
  def num_classes(self) -> int:
    """Of the labels, 0 without any."""
    return len(self.class_names)

  @functools.cached_property
  def class_names(self) -> tuple[str, ...]:
    """One a class; none where mixed datasets differ in theirs, whose labels are then left out."""
    names = {source.class_names for source in self._sources}
    return names.pop() if len(names) == 1 else ()

  @property
  def image_shape(self) -> tuple[int | None, ...]:
    """(H, W, C) as prepared; None where images differ."""
    return self._sources[0].image_shape

  def batches(
    self, *, seed: int, start: int = 0, process_index: int = 0, process_count: int = 1
  ) -> Prefetched:
    """Training batches without end, shuffled anew each epoch.

    Step t's rows over all processes are the same whatever their number, and whatever `start`.

    Args:
      seed: of the order and the transforms.
      start: the first step.
      process_index: whose rows to return.
      process_count: processes that share the batch.

    Returns:
      An iterator of dicts of arrays, to be closed.
    """
    self._settle()
    if self.batch_size % process_count:
      raise UserError(
        f"--config.data.batch_size: found {self.batch_size}, expected a multiple of "
        f"{process_count} processes"
      )
    load = _Load(self, seed)
    # Shuffle, repeat, number, THEN slice: the global order must not know of processes.
    rows = self._order(seed).map_with_index(load)[process_index::process_count]
    batches = rows.batch(self.batch_size // process_count, drop_remainder=True)
    options = grain.ReadOptions(num_threads=self.num_threads, prefetch_buffer_size=4)
    iterable = batches[start:].to_iter_dataset(options)
    if self.num_workers:
      workers = grain.MultiprocessingOptions(num_workers=self.num_workers)
      iterable = iterable.mp_prefetch(workers)
    return Prefetched(iter(iterable))

  def one_pass(self) -> Iterator[dict[str, np.ndarray]]:
    """Each example once, in order.

    "valid" is False for the rows that fill the last batch up, and for records that cannot be
    unpacked, in whose place another one stands.
    """
    self._settle()
    load = _Load(self, 0)
    keys = [(s, i) for s, rows in enumerate(self._rows) for i in range(len(rows))]
    with ThreadPoolExecutor(self.num_threads) as pool:
      for start in range(0, len(keys), self.batch_size):
        part = keys[start : start + self.batch_size]
        rows = list(pool.map(load.in_order, range(start, start + len(part)), part))
        rows += [rows[-1] | {"valid": np.False_}] * (self.batch_size - len(rows))
        yield {key: np.stack([row[key] for row in rows]) for key in rows[0]}

  @functools.cached_property
  def _sources(self) -> tuple[Source, ...]:
    names = [self.datasets] if isinstance(self.datasets, str) else list(self.datasets)
    data_dir = Path(self.data_dir or os.environ.get("PRETRAINJAX_DATA", "data"))
    return tuple(Source(name, self.split, data_dir) for name in names)

  @functools.cached_property
  def _channels(self) -> int:
    return max(source.channels for source in self._sources)

  @functools.cached_property
  def _rows(self) -> tuple[np.ndarray, ...]:
    """Which records of each source are used."""
    if self.label_fraction == 1:
      return tuple(np.arange(len(source)) for source in self._sources)
    for source in self._sources:
      if not source.has_labels:
        raise UserError(f"--config.data.label_fraction: dataset '{source.name}' has no labels")
    chosen = {"fraction": self.label_fraction, "seed": self.label_seed}
    return tuple(stratified(source.labels, **chosen) for source in self._sources)

  @functools.cached_property
  def _cached(self) -> tuple[list, ...] | None:
    """Unpacked records in memory, by source."""
    if self.cache == "none":
      return None
    return tuple(
      [
        r
        for start in range(0, len(rows), 1024)
        for r in _unpacked(source, rows[start : start + 1024], self._channels)
      ]
      for source, rows in zip(self._sources, self._rows, strict=True)
    )

  def _order(self, seed: int) -> grain.MapDataset:
    """(source, row) for every position, without end."""
    orders = [
      grain.MapDataset.range(len(rows)).seed(seed + i).shuffle().repeat().map(_Tag(i))
      for i, rows in enumerate(self._rows)
    ]
    if len(orders) == 1:
      return orders[0]
    return grain.MapDataset.mix(orders, weights=list(self.datasets.values()))

  def _settle(self) -> None:
    cv2.setNumThreads(0)  # our threads are enough; OpenCV's own would fight with them
    if not flags.FLAGS.is_parsed():
      flags.FLAGS.mark_as_parsed()  # grain's workers read absl flags
    _ = self._rows, self._cached  # mistakes are the caller's, not a thread's


@dataclasses.dataclass(frozen=True)
class _Tag:
  """Says which source a row belongs to."""

  source: int

  def __call__(self, row: int) -> tuple[int, int]:
    return self.source, row


class _Load:
  """Turns a position in the order and what stands there into an example."""

  def __init__(self, data: ImageData, seed: int):
    self._data, self._seed = data, seed
    self._seen = self._bad = 0
    self._lock = threading.Lock()

  def __getstate__(self) -> dict[str, Any]:  # for worker processes, which count for themselves
    return {"_data": self._data, "_seed": self._seed, "_seen": 0, "_bad": 0}

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__dict__.update(state, _lock=threading.Lock())
    cv2.setNumThreads(0)

  def __call__(self, position: int, key: tuple[int, int]) -> dict[str, np.ndarray]:
    example = self.in_order(position, key)
    del example["valid"]
    return example

  def in_order(self, position: int, key: tuple[int, int]) -> dict[str, np.ndarray]:
    """The example with "valid", False where another record stands in for it."""
    data, (image, label, valid) = self._data, self._readable(*key)
    # The position is this example's alone: the same crop on any thread, process or host.
    rng = np.random.Generator(np.random.Philox(key=(self._seed << 64) | position))
    views = [data.transform(image, rng) for _ in range(data.views)]
    example = {"image": views[0] if data.views == 1 else np.stack(views), "valid": np.bool_(valid)}
    if label is not None and data.class_names:
      example["label"] = np.int32(label)
    return example

  def _readable(self, source: int, row: int) -> tuple[np.ndarray, int | None, bool]:
    """The record, or the next one that can be unpacked; both depend on nothing but the row.

    The third value says whether it is the record itself.
    """
    count = len(self._data._rows[source])
    for offset in range(count):
      record = self._record(source, (row + offset) % count)
      with self._lock:
        self._seen += 1
        self._bad += isinstance(record, str)
        seen, bad = self._seen, self._bad
      if not isinstance(record, str):
        return *record, offset == 0
      _log.warning("record skipped: %s", record)
      if bad > self._data.max_bad_fraction * max(seen, 1000):
        break
    raise UserError(
      f"--config.data.max_bad_fraction: {bad} of {seen} records cannot be unpacked, "
      f"expected at most {self._data.max_bad_fraction:.2%}; the last one: {record}"
    )

  def _record(self, source: int, row: int) -> tuple[np.ndarray, int | None] | str:
    data = self._data
    if data._cached is not None:
      return data._cached[source][row]
    rows = data._rows[source][row : row + 1]
    return _unpacked(data._sources[source], rows, data._channels)[0]


def _unpacked(
  source: Source, indices: np.ndarray, channels: int
) -> list[tuple[np.ndarray, int | None] | str]:
  """Images and their classes, or what is wrong with them."""
  try:
    records = source.records(indices)
  except RuntimeError as error:  # the file is damaged: find out where
    if len(indices) == 1:
      return [_complaint(source, indices[0], error)]
    return [_unpacked(source, indices[i : i + 1], channels)[0] for i in range(len(indices))]
  unpacked = []
  for index, (packed, label) in zip(indices, records, strict=True):
    try:
      unpacked.append((decode(packed, channels=channels), label))
    except (ValueError, cv2.error) as error:
      unpacked.append(_complaint(source, index, error))
  return unpacked


def _complaint(source: Source, index: int | np.integer, error: Exception) -> str:
  return f"{source.name}/{source.split}/{index}: {' '.join(str(error).split())}"
