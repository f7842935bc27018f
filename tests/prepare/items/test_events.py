"""Rows of a log, some of them."""

import numpy as np
import pyarrow as pa

from pretrainjax.prepare.items.events import EVENT, Events


def test_some_rows_are_those_of_every_column():
  names, numbers = pa.array(["a", "b", "c"]), np.arange(3)
  events = Events("k", names, names, numbers, numbers * 2.0, names)
  found = events.where(np.array([True, False, True]))
  assert found.num_records == 2 and found.items.to_pylist() == ["a", "c"] == found.kinds.to_pylist()
  assert found.times.tolist() == [0, 2] and found.ratings.tolist() == [0, 4]
  assert events.where(np.ones(3, bool)) is events
  bare = Events("k", names, names).where(np.zeros(3, bool))
  assert (bare.num_records, bare.times, bare.ratings, bare.kinds) == (0, None, None, None)


def test_an_event_takes_sixteen_bytes():
  assert EVENT.itemsize == 16
