"""Fewer or more devices or processes at a restart: the same examples, the same losses to 1e-6."""

import time
from typing import NamedTuple

import binaries
import numpy as np
import pytest
from trials import rows_of

STEPS = 40


class Leg(NamedTuple):
  """One layout of a part of the run."""

  devices: int  # of each process
  processes: int = 1
  mode: str = "jit"


LEGS = (Leg(4), Leg(1, processes=2), Leg(1), Leg(2, mode="pmap"))


@pytest.mark.slow
def test_4_devices_then_2_processes_then_1_then_pmap(tmp_path, data, trial):
  calm, moved = tmp_path / "calm", tmp_path / "moved"
  common = (
    f"--config={binaries.MAE}",
    f"--data_dir={data}",
    f"--config.train.duration.steps={STEPS}",
    "--config.train.checkpoint_every=1",
    *binaries.QUICK,
  )
  undisturbed = binaries.start("pretrain", *common, f"--workdir={calm}", devices=4)
  assert binaries.finish(undisturbed).status == 0
  for leg in LEGS:
    start, before = time.monotonic(), len(rows_of(moved))
    running = binaries.start_many(
      "pretrain",
      *common,
      f"--workdir={moved}",
      f"--config.parallel.mode={leg.mode}",
      processes=leg.processes,
      devices=leg.devices,
    )
    is_last = leg is LEGS[-1]
    while len(rows_of(moved)) < before + 2:
      assert running[0].poll() is None, binaries.finish_all(running)
      time.sleep(0.002)
    seconds = time.monotonic() - start
    if not is_last:
      running[-1].terminate()
    ended = binaries.finish_all(running)
    assert {e.status for e in ended} == {0 if is_last else 42}, (leg, ended)
    if before:
      said = "\n".join(ended[0].errors)
      assert "the same examples in the same order, numbers equal to float tolerance" in said
      trial(lost_steps=0, seconds=seconds)
  expected, found = ([r for r in rows_of(w) if "loss" in r] for w in (calm, moved))
  assert [r["step"] for r in found] == list(range(1, STEPS + 1))
  np.testing.assert_allclose([r["loss"] for r in found], [r["loss"] for r in expected], rtol=1e-6)
