"""Batches from where the state says, again and again."""

import jax
import numpy as np
import toy
from toy_runs import Batches, make

from pretrainjax.train.feed import Feed


class Waited(Batches):
  """Each stream says that it was waited for a second a batch."""

  def batches(self, **options):
    self.wait_seconds = 0.0
    return super().batches(**options)

  def count(self, batch):
    return {"tokens": 5 * len(batch["x"])}

  def __next__(self):
    self.wait_seconds += 1.0
    return super().__next__()


def test_the_position_decides_and_may_go_back():
  data = Waited()
  run = make(data, steps=9)
  state = run.parallel.make(run.init)
  feed = Feed(run)
  for position in (7, 3):
    feed.start(state.replace(position=jax.numpy.int32(position)))
    for index in (position, position + 1):
      batch = feed.next()
      assert (batch.index, batch.counts) == (index, {"tokens": 80})
      np.testing.assert_array_equal(batch.arrays["x"], toy.batch(index)["x"])
  assert data.started == [7, 3]
  assert feed.wait_seconds == 4.0, "of both streams together"
  feed.close()
  assert data.closed and feed.wait_seconds == 4.0
  feed.close()
