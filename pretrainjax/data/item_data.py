"""Batches of users' histories."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from pretrainjax.config.follow import Follows, at_most, takes
from pretrainjax.data.fields.items import ItemField
from pretrainjax.data.pipeline import Pipeline
from pretrainjax.ranges import LARGEST, PositiveInt, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class ItemData(Pipeline):
  """Histories of users: "items", "times" int32 "B T"; "user", "target", "num_train" int32 "B".

  Attributes:
    length: the most events of a history that a network reads, see `ItemField`.
    next_item: rows have one event more, the last to be predicted, likewise.
    crop: what becomes of a longer history, likewise.
    buckets: lengths that rows may have in training, likewise; 1 gives all the longest.

  The others are those of `Pipeline`.
  """

  length: Annotated[int, Range(1, LARGEST)]
  next_item: bool = False
  crop: Literal["newest", "random", "all"] = "newest"
  buckets: PositiveInt = 1

  follows: ClassVar[Follows] = {
    "length": (
      *takes("data.length", "objective.backbone.max_length", "prepared.longest_history"),
      *at_most("objective.backbone.max_length"),
    )
  }

  def make_field(self) -> ItemField:
    """See `Pipeline`."""
    options = ("length", "next_item", "crop", "buckets")
    return ItemField(**{name: getattr(self, name) for name in options})

  @property
  def num_items(self) -> int:
    """Items of the catalogue, whose numbers are 1 to this."""
    return max(source.noted("num_items", int) for source in self.sources)
