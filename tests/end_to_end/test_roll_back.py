"""A loss that jumps, on two processes and under pmap: all go back alike, and on after the batch."""

import json

import binaries
import numpy as np
import odd_score
import pytest
from trials import rows_of

STEPS = 6
SPIKES = {"action": "roll_back", "patience": 1, "window": 2, "back": 0}


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "processes"), [("jit", 2), ("pmap", 1), ("pmap", 2)])
def test_all_go_back_alike(mode, processes, tmp_path):
  data, workdir = tmp_path / "data", tmp_path / "run"
  odd_score.prepare(data, odd=1e4)
  ended = binaries.finish_all(
    binaries.start_many(
      "finetune",
      *odd_score.arguments(workdir, data, mode=mode, steps=STEPS),
      *(f"--config.train.spikes.{key}={value}" for key, value in SPIKES.items()),
      "--config.train.checkpoint_every=1",
      processes=processes,
      devices=2 // processes,
    )
  )
  assert [e.status for e in ended] == [0] * processes, ended
  (row,) = [json.loads(line) for line in (workdir / "roll_backs.jsonl").read_text().splitlines()]
  assert (row["step"], row["back_to"], row["position"]) == (3, 2, 3)
  assert sum("LOSS SPIKE" in line for e in ended for line in e.errors) == 1, "told once"
  trained = [row for row in rows_of(workdir) if "loss" in row]
  assert [row["step"] for row in trained] == list(range(1, STEPS + 1))
  assert all(row["loss"] < 1e4 for row in trained)
  assert np.isfinite([row["loss"] for row in trained]).all()
