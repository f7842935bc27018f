"""Events of a log: as they are read, and as they lie in the work folder."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

# As they lie on the disk: numbers of users and items from 0, and microseconds.
EVENT = np.dtype([("user", "<u4"), ("item", "<u4"), ("time", "<i8")])


class Events(NamedTuple):
  """Rows of a log, each with a user and an item.

  Attributes:
    key: the place of the first row, for messages.
    users: ids, none of them null.
    items: ids, none of them null.
    times: microseconds since 1970; None of a log without times.
    ratings: NaN where there is none; None of a log without ratings.
    kinds: what happened, "view"; null where nothing stands; None of a log that does not say.
  """

  key: str
  users: pa.Array
  items: pa.Array
  times: Int64[np.ndarray, " N"] | None = None
  ratings: Float64[np.ndarray, " N"] | None = None
  kinds: pa.Array | None = None

  @property
  def num_records(self) -> int:
    """The number of rows."""
    return len(self.users)

  def where(self, chosen: np.ndarray) -> "Events":
    """Some of the rows.

    Args:
      chosen: True for those.
    """
    if chosen.all():
      return self
    mask = pa.array(chosen)
    return Events(
      self.key,
      self.users.filter(mask),
      self.items.filter(mask),
      None if self.times is None else self.times[chosen],
      None if self.ratings is None else self.ratings[chosen],
      None if self.kinds is None else self.kinds.filter(mask),
    )


class Described(NamedTuple):
  """What a table says of an item or a user.

  Attributes:
    key: the place of the row, for messages.
    of: "item" or "user".
    name: the id of the item or user.
    title: the title; None without one.
    features: texts, or lists of texts, by name.
  """

  key: str
  of: str
  name: str
  title: str | None
  features: dict[str, str | list[str]]
