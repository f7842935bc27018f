"""A run that ends with a save in flight.

Orbax alone loses it, with exit status 0; whatever way out is taken here, the step is there.
"""

import contextlib

import pytest
import saver
from trials import numbers_of

from pretrainjax.checkpoint.manager import Checkpoints

MEGABYTES = 16.0


@pytest.mark.parametrize("way", [None, ValueError, SystemExit, KeyboardInterrupt], ids=str)
def test_every_way_out_waits_for_it(way, tmp_path, trial):
  expected = contextlib.nullcontext() if way is None else pytest.raises(way)
  with expected, Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(7, saver.state(7, megabytes=MEGABYTES), config=saver.CONFIG)
    assert checkpoints.steps() == [], "or nothing is in flight"
    if way is not None:
      raise way
  with Checkpoints(tmp_path, read_only=True) as reader:
    saver.assert_is(reader.arrays(7), 7, megabytes=MEGABYTES)
  trial(lost_steps=0)


@pytest.mark.slow
def test_the_last_step_of_a_run_is_saved(finished, trial):
  assert numbers_of(finished.workdir)[-1]["step"] == 4
  with Checkpoints(finished.workdir, read_only=True) as reader:
    assert reader.steps()[0] == 4 == int(reader.arrays(4)["step"])
  trial(lost_steps=0)
