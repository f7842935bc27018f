"""A run goes on with other devices, processes and meshes, as if nothing had changed."""

import json
import time
from pathlib import Path
from typing import NamedTuple

import binaries
import numpy as np
import pytest
import synthetic

STEPS = 200


class Leg(NamedTuple):
  """One layout of a part of the run."""

  devices: int  # of each process
  processes: int = 1
  flags: tuple[str, ...] = ()


LEGS = (
  Leg(8),
  Leg(4, flags=("--config.parallel.mesh.fsdp=2",)),
  Leg(1, processes=2),
  Leg(2, processes=2, flags=("--config.parallel.mesh.fsdp=2", "--config.parallel.mesh.tensor=2")),
  Leg(1),
  Leg(2, flags=("--config.parallel.mode=pmap",)),
  Leg(1, processes=2, flags=("--config.parallel.mode=pmap",)),
  Leg(8, flags=("--config.parallel.mesh.fsdp=8",)),
)


def rows(workdir: Path) -> list[dict]:
  path = workdir / "metrics.jsonl"
  found = []
  for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
    if line.endswith("\n"):  # or it is being written
      found.append(json.loads(line))
  return found


@pytest.mark.slow
def test_8_4_2_1_8_is_one_curve(tmp_path):
  synthetic.prepare("fashion_mnist", tmp_path / "data")
  calm, moved = tmp_path / "calm", tmp_path / "moved"
  common = (
    f"--config={binaries.MAE}",
    f"--data_dir={tmp_path / 'data'}",
    f"--config.train.duration.steps={STEPS}",
    *binaries.QUICK,
  )
  undisturbed = binaries.start("pretrain", *common, f"--workdir={calm}", devices=8)
  assert binaries.finish(undisturbed).status == 0

  saved = 0
  for leg in LEGS:
    running = binaries.start_many(
      "pretrain",
      *common,
      f"--workdir={moved}",
      *leg.flags,
      processes=leg.processes,
      devices=leg.devices,
    )
    is_last = leg is LEGS[-1]
    # What the last leg wrote lies before `saved`; this one is to do two steps at least.
    while not is_last and not any(r["step"] >= saved + 2 for r in rows(moved)):
      assert running[0].poll() is None, binaries.finish_all(running)
      time.sleep(0.005)
    if not is_last:
      running[-1].terminate()
    ended = binaries.finish_all(running)
    assert {e.status for e in ended} == {0 if is_last else 42}, (leg, ended)
    if saved:
      assert f"going on from step {saved} of {STEPS}" in ended[0].out
      said = "\n".join(ended[0].errors)
      assert "the same examples in the same order, numbers equal to float tolerance" in said
      assert f"goes on with {leg.devices * leg.processes} device" in said
    if not is_last:
      saved = int(ended[0].errors[-1].partition("saved step ")[2].split()[0])

  expected, found = ([r for r in rows(w) if "loss" in r] for w in (calm, moved))
  assert [r["step"] for r in found] == list(range(1, STEPS + 1))
  for a, b in zip(expected, found, strict=True):
    for name in ("loss", "grad_norm", "learning_rate"):
      np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=f"{name} of {a['step']}")
