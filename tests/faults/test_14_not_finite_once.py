"""A batch whose loss is not finite: skipped, counted, its records named.

One score of a dataset is so large that its square is infinite.
"""

import json

import binaries
import jax
import numpy as np
import odd_score
import pytest

from pretrainjax.checkpoint.manager import Checkpoints

STEPS = 6


@pytest.mark.slow
@pytest.mark.parametrize(
  ("mode", "devices", "processes"), [("jit", 1, 1), ("pmap", 2, 1), ("jit", 1, 2)]
)
def test_the_step_is_skipped_and_the_run_goes_on(mode, devices, processes, tmp_path, trial):
  data, workdir = tmp_path / "data", tmp_path / "run"
  odd_score.prepare(data, odd=1e25)
  ended = binaries.finish_all(
    binaries.start_many(
      "finetune",
      *odd_score.arguments(workdir, data, mode=mode, steps=STEPS),
      processes=processes,
      devices=devices,
    )
  )
  assert [e.status for e in ended] == [0] * processes, ended
  (row,) = [json.loads(x) for x in (workdir / "skipped.jsonl").read_text().splitlines()]
  assert (row["step"], row["batch"], row["loss"]) == (3, 2, "inf")
  assert odd_score.key_of_odd(data) in row["keys"] and len(row["keys"]) == 8, (
    "of all processes together"
  )
  (line,) = [x for x in ended[0].errors if "skipped: loss inf" in x]
  assert "step 3 skipped" in line and row["keys"][0] in line
  assert all("skipped" not in x for e in ended[1:] for x in e.errors), "told once"
  with Checkpoints(workdir, read_only=True) as checkpoints:
    arrays = checkpoints.arrays(STEPS)
  assert (int(arrays["bad_steps"]), int(arrays["bad_in_row"])) == (1, 0)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((arrays["params"], arrays["opt_state"])))
  trial(lost_steps=1)
