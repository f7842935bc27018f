"""Losses that stay infinite: the run stops, names the last good step, and can go on from before it.

A learning rate of 1e30 breaks the parameters in one step.
"""

import json
import signal

import binaries
import pytest
from trials import EVERY, JIT, PMAP, STEPS, Trial, rows_of

TOO_HIGH, LIMIT = "--config.optimizer.learning_rate=1e30", "--config.train.max_bad_steps=7"


@pytest.mark.slow
@pytest.mark.parametrize("layout", [JIT, PMAP], ids=lambda layout: layout[0])
def test_the_run_stops_and_goes_on_with_a_lower_learning_rate(layout, tmp_path, data, trial):
  run = Trial(tmp_path, data, layout, LIMIT, "--allow_config_change")
  run.struck(signal.SIGTERM, rows=EVERY + 2)
  before = rows_of(run.workdir)[-1]["step"]
  broken = binaries.finish(run.start(TOO_HIGH))
  assert broken.status == 2, broken
  said = broken.errors[-1]
  assert f"7 steps in a row up to step {before + 8} had no finite loss or gradient" in said
  assert (
    f"last good step is {before + 1}; started again, the run goes on from step {before}" in said
  )
  skipped = [json.loads(x) for x in (run.workdir / "skipped.jsonl").read_text().splitlines()]
  assert [row["step"] for row in skipped] == list(range(before + 2, before + 9))
  ended = run.to_the_end()
  assert f"going on from step {before} of {STEPS}" in ended.out
  assert all(isinstance(row["loss"], float) for row in rows_of(run.workdir) if "loss" in row)
  trial(lost_steps=1)
