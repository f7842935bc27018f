"""What a prepared dataset says of itself that networks must fit to: sizes, classes, tokens."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds

from pretrainjax.data.image import decode
from pretrainjax.data.pixel_statistics import PixelStatistics, measured_rows, pixel_statistics
from pretrainjax.data.prepared import PreparedSplit, open_datasets
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class PreparedFacts:
  """Facts of the training data, each looked up once it is asked for.

  All properties raise LookupError, in words, where the data does not say.

  Attributes:
    datasets: see `Pipeline`.
    split: see there.
    data_dir: see there.
  """

  datasets: str | Mapping[str, float]
  split: str = "train"
  data_dir: str | None = None

  @functools.cached_property
  def sources(self) -> tuple[PreparedSplit, ...]:
    """The datasets, opened."""
    return open_datasets(self.datasets, split=self.split, data_dir=self.data_dir)

  @property
  def names(self) -> str:
    """The names of the datasets, for messages."""
    return self.datasets if isinstance(self.datasets, str) else " + ".join(self.datasets)

  # --- classes --------------------------------------------------------------------------------

  @property
  def num_classes(self) -> int:
    """Classes of examples."""
    names = {source.class_names for source in self.sources}
    if len(names) > 1:
      raise LookupError(f"the datasets {self.names} have not the same classes")
    return self._some(len(names.pop()), "classes")

  @property
  def num_tags(self) -> int:
    """Classes of tokens."""
    source = self.sources[0]
    return self._some(len(source.noted("tag_names", list)) if source.has("tags") else 0, "tags")

  @functools.cached_property
  def score_range(self) -> tuple[float, float]:
    """The lowest and the highest score of all training examples."""
    scores = [value for source in self.sources for value in _scores(source)]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    if not low < high:
      raise LookupError(f"'{self.names}' has no scores that differ")
    return low, high

  # --- images ---------------------------------------------------------------------------------

  @property
  def num_channels(self) -> int:
    """Channels of images: 1 where all are grey, else 3."""
    return max(1 if shape[-1] == 1 else 3 for shape in self._shapes)

  @property
  def image_size(self) -> int:
    """Height and width of images, where all are squares of one size."""
    sizes = {shape[:2] for shape in self._shapes}
    height, width = sizes.pop() if len(sizes) == 1 else (None, None)
    if height is None or height != width:
      raise LookupError(f"the images of '{self.names}' are not all squares of one size")
    return height

  @property
  def image_mean(self) -> tuple[float, ...]:
    """Mean of pixels / 255, one a channel."""
    return self._statistics.mean

  @property
  def image_std(self) -> tuple[float, ...]:
    """Standard deviation of pixels / 255, likewise."""
    return self._statistics.std

  @functools.cached_property
  def _statistics(self) -> PixelStatistics:
    """What `prepare` noted of the training images; of sets that it did not write, measured."""
    if len(self.sources) > 1:
      raise LookupError(f"{self.names} are several datasets, each with its own mean")
    source, channels = self.sources[0], self.num_channels
    noted = [_noted(source, name, channels) for name in ("image_mean", "image_std")]
    if noted[0] is not None and noted[1] is not None and min(noted[1]) > 0:
      return PixelStatistics(noted[0], noted[1], 0)
    whole = dataclasses.replace(source, split=source.split.partition("[")[0])
    found = _measured(whole, channels)
    if found is None:
      raise LookupError(f"no image of '{self.names}' can be unpacked")
    return found

  @property
  def _shapes(self) -> list[tuple[int | None, ...]]:
    for source in self.sources:
      if not source.is_a("image", tfds.features.Image):
        raise LookupError(f"'{source.name}' has no images")
    return [source.shape("image") for source in self.sources]

  # --- text -----------------------------------------------------------------------------------

  @functools.cached_property
  def tokenizer(self) -> Tokenizer:
    """The tokenizer of the texts."""
    path = self.sources[0].folder / "tokenizer.json"
    if not self.sources[0].has("tokens") or not path.is_file():
      raise LookupError(f"'{self.names}' has no text")
    return Tokenizer.load(path)

  @property
  def vocab_size(self) -> int:
    """Entries of the vocabulary."""
    return self.tokenizer.vocab_size

  @property
  def length(self) -> int:
    """Tokens of a packed block."""
    source = self.sources[0]
    if not source.has("segments"):
      raise LookupError(f"the texts of '{self.names}' are not packed to one length")
    return source.noted("length", int)

  @property
  def special_ids(self) -> tuple[int, ...]:
    """Ids of the five special tokens."""
    names = ("pad_id", "unknown_id", "begin_id", "end_id", "mask_id")
    return tuple(sorted({getattr(self.tokenizer, name) for name in names}))

  @property
  def mask_id(self) -> int:
    """The id of [MASK]."""
    return self.tokenizer.mask_id

  @property
  def end_id(self) -> int:
    """The id of [SEP]."""
    return self.tokenizer.end_id

  @property
  def pad_id(self) -> int:
    """The id of [PAD]."""
    return self.tokenizer.pad_id

  @property
  def first_sentinel(self) -> int:
    """The id of <extra_id_0>."""
    return self._sentinels[0]

  @property
  def sentinel_step(self) -> Literal[1, -1]:
    """The step from one sentinel's id to the next."""
    return -1 if self._sentinels[-1] < self._sentinels[0] else 1

  @property
  def _sentinels(self) -> tuple[int, ...]:
    if not self.tokenizer.sentinel_ids:
      raise LookupError(f"the tokenizer of '{self.names}' has no sentinels")
    return self.tokenizer.sentinel_ids

  def _some(self, count: int, what: str) -> int:
    if not count:
      raise LookupError(f"'{self.names}' has no {what}")
    return count


def _noted(source: PreparedSplit, name: str, channels: int) -> tuple[float, ...] | None:
  """Numbers that `prepare` wrote down; None where it did not, or another program wrote the set."""
  try:
    values = source.prepared.get(name)
  except UserError:  # tfds wrote it
    return None
  is_right = isinstance(values, list) and len(values) == channels
  is_right = is_right and all(type(v) is float and math.isfinite(v) for v in values)
  return tuple(values) if is_right else None


def _measured(source: PreparedSplit, channels: int) -> PixelStatistics | None:
  def unpack(row: np.int64) -> np.ndarray | None:
    try:
      values = source.records([int(row)])[0]["image"].bytes_list.value
      return decode(values[0], channels=channels)
    except (RuntimeError, ValueError, IndexError):  # told, and counted, where it is trained on
      return None

  return pixel_statistics(measured_rows(len(source)), unpack)


def _scores(source: PreparedSplit) -> list[float]:
  if not source.has("score"):
    return []
  values: list[Any] = []
  for start in range(0, len(source), 1024):
    rows = range(start, min(start + 1024, len(source)))
    values += [v for fields in source.records(rows) for v in fields["score"].float_list.value]
  return [value for value in values if math.isfinite(value)]
