"""What a prepared dataset says of itself that networks must fit to: sizes, classes, tokens."""

import dataclasses
import functools
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from pretrainjax.data.fields.image import ImageField
from pretrainjax.data.image import Resize
from pretrainjax.data.item_features import FeatureRows, feature_rows
from pretrainjax.data.item_table import ItemTable, UserTable
from pretrainjax.data.pixel_statistics import PixelStatistics, measured_rows, pixel_statistics
from pretrainjax.data.prepared import PreparedSplit, dataset_names, open_datasets
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class PreparedFacts:
  """Facts of the training data, each looked up once it is asked for.

  All properties raise LookupError, in words, where the data does not say.

  Attributes:
    datasets: the name of the dataset, several with commas, or weights by name.
    split: the split, in the language of tfds.
    data_dir: the folder of the datasets, see `Pipeline`.
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
    return " + ".join(dataset_names(self.datasets))

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
    if len(self.sources) == 1 and None in min(sizes):
      sizes = {self._statistics.smallest, self._statistics.largest}
    sides = {side for size in sizes for side in size}
    if len(sides) > 1 or None in sides:
      found = " to ".join(f"{height} x {width}" for height, width in sorted(sizes, key=str))
      raise LookupError(f"the images of '{self.names}' are not squares of one size, but {found}")
    return sides.pop()

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
    if (noted := _noted(source, channels)) is not None:
      return noted
    whole = dataclasses.replace(source, split=source.split.partition("[")[0])
    found = measured(whole)
    if found is None:
      raise LookupError(f"no image of '{self.names}' can be unpacked")
    _log.warning(
      "%s: measured the mean %s and std %s of %s images, which its prepared.json does not have; "
      "typed as image_mean and image_std of the backbone, they need not be measured again",
      *(source.name, found.mean, found.std, f"{found.num_images:,}"),
    )
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

  # --- sound ----------------------------------------------------------------------------------

  @property
  def sampling_rate(self) -> int:
    """Samples a second."""
    return self._of_sound("sampling_rate", int)

  @property
  def longest_seconds(self) -> float:
    """Seconds of the longest sound."""
    return self._of_sound("longest_seconds", float)

  @property
  def transcript_length(self) -> int:
    """Tokens of the longest transcript."""
    if not self.sources[0].has("tokens"):
      raise LookupError(f"'{self.names}' has no transcripts")
    return self._of_sound("transcript_length", int)

  def _of_sound(self, fact: str, kind: type) -> Any:
    """The largest of all datasets."""
    for source in self.sources:
      if not source.has("audio"):
        raise LookupError(f"'{source.name}' has no sound")
    return max(source.noted(fact, kind) for source in self.sources)

  # --- interactions ---------------------------------------------------------------------------

  @property
  def num_items(self) -> int:
    """Items of the catalogue."""
    return self._of_interactions("num_items")

  @property
  def num_users(self) -> int:
    """Users."""
    return self._of_interactions("num_users")

  @property
  def longest_history(self) -> int:
    """Events of the longest row to train on."""
    return self._of_interactions("longest_history")

  @property
  def catalogue(self) -> str:
    """The folder with the tables of items and users."""
    self._of_interactions("num_items")
    return str(self.sources[0].folder)

  @property
  def num_item_features(self) -> int:
    """Different values of items' features; 0 without any."""
    return len(self._item_features.names)

  @property
  def features_per_item(self) -> int:
    """The most values of features that an item has."""
    return self._item_features.rows.shape[1]

  @property
  def num_user_features(self) -> int:
    """Different values of users' features; 0 without any."""
    return len(self._user_features.names)

  @property
  def features_per_user(self) -> int:
    """The most values of features that a user has."""
    return self._user_features.rows.shape[1]

  @functools.cached_property
  def _item_features(self) -> FeatureRows:
    return feature_rows(ItemTable.load(Path(self.catalogue)).features)

  @functools.cached_property
  def _user_features(self) -> FeatureRows:
    return feature_rows(UserTable.load(Path(self.catalogue)).features)

  def _of_interactions(self, fact: str) -> int:
    """The largest of all datasets."""
    for source in self.sources:
      if not source.has("items"):
        raise LookupError(f"'{source.name}' has no interactions")
    return max(source.noted(fact, int) for source in self.sources)

  def _some(self, count: int, what: str) -> int:
    if not count:
      raise LookupError(f"'{self.names}' has no {what}")
    return count


def note(folder: Path) -> dict[str, Any]:
  """What `prepare` notes of a set of images in prepared.json; {} for sets without.

  Args:
    folder: of the dataset, complete.
  """
  source = PreparedSplit.at(folder, split="train")
  if not source.is_a("image", tfds.features.Image) or not source.has_split:
    return {}
  found = measured(source)
  return {} if found is None else {"pixel_statistics": found._asdict()}


def _noted(source: PreparedSplit, channels: int) -> PixelStatistics | None:
  """What `prepare` noted; None where it did not, or another program wrote the set."""
  try:
    facts = source.prepared.get("pixel_statistics")
    found = PixelStatistics(**{name: _plain(value) for name, value in facts.items()})
    numbers = (*found.mean, *found.std)
  except (UserError, AttributeError, TypeError):  # tfds wrote it, or it is an old one
    return None
  is_right = len(found.mean) == len(found.std) == channels and len(found.smallest) == 2
  is_right = is_right and len(found.largest) == 2 and all(type(v) is float for v in numbers)
  return found if is_right and all(map(math.isfinite, numbers)) and min(found.std) > 0 else None


def _plain(value: Any) -> Any:
  return tuple(value) if isinstance(value, list) else value


def measured(source: PreparedSplit) -> PixelStatistics | None:
  """Measures the images of a split as training unpacks them; None where none can be unpacked."""
  field = ImageField(transform=Resize(size=1)).bind((source,), key="config.data")

  def unpack(row: np.int64) -> np.ndarray | None:
    try:
      return field.unpack(source, source.records([int(row)])[0])
    except (RuntimeError, ValueError):  # told, and counted, where it is trained on
      return None

  rows = measured_rows(len(source))
  bar = tqdm(rows, desc="mean", unit=" images", leave=False, disable=None, delay=2)
  return pixel_statistics(bar, unpack)


def _scores(source: PreparedSplit) -> list[float]:
  if not source.has("score"):
    return []
  values: list[Any] = []
  for start in range(0, len(source), 1024):
    rows = range(start, min(start + 1024, len(source)))
    values += [v for fields in source.records(rows) for v in fields["score"].float_list.value]
  return [value for value in values if math.isfinite(value)]
