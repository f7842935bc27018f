"""The input pipeline alone."""

import dataclasses
import json
import time

import numpy as np
import pytest

from pretrainjax.benchmark.data_rate import (
  Rate,
  measure_rate,
  needed_rate,
  rates_text,
  thread_counts,
)
from pretrainjax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Slow:
  """Batches of 8 examples of 1000 bytes, one in 10 ms by as many threads as there are."""

  num_threads: int = 1

  def batches(self, *, seed):
    while True:
      time.sleep(0.01 / self.num_threads)
      yield {"image": np.zeros((8, 1000), np.uint8)}


def test_the_rate_is_that_of_the_batches():
  slow = measure_rate(Slow(), num_threads=1, seconds=0.3)
  assert 200 < slow.examples_per_second <= 800
  assert slow.megabytes_per_second == pytest.approx(slow.examples_per_second / 1000)
  assert slow.first_seconds >= 0.01
  fast = measure_rate(Slow(), num_threads=4, seconds=0.3)
  assert fast.num_threads == 4
  assert fast.examples_per_second > 1.5 * slow.examples_per_second


def test_numbers_of_threads():
  assert thread_counts("4,1", 2) == [1, 2, 4]
  assert {1, 3} <= set(thread_counts(None, 3))
  for text in ("0", "two", "1,-1"):
    with pytest.raises(UserError, match=f"--threads: found '{text}'"):
      thread_counts(text, 2)


def test_what_a_step_needs(tmp_path):
  file = tmp_path / "step.json"
  file.write_text(json.dumps({"examples_per_second": 500.0}))
  assert needed_rate(file) == 500
  rates = [Rate(1, 400.0, 1.0, 0.1), Rate(2, 700.0, 1.0, 0.1), Rate(4, 900.0, 1.0, 0.1)]
  text = rates_text(rates, needed=500.0, batch_size=8)
  assert "0.80 x" in text and "1.40 x" in text
  assert text.endswith("a step takes 500 examples/s: 2 threads are enough")
  assert rates_text(rates, needed=1e6, batch_size=8).endswith("no number of threads is enough here")
  assert "step takes" not in rates_text(rates, needed=None, batch_size=8)
  for content in ("{}", "no json"):
    file.write_text(content)
    with pytest.raises(UserError, match="--step_json: .* is not what `benchmark step"):
      needed_rate(file)
