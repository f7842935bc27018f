"""No progress: a process hangs, while it lives and beats.

The watchdog writes stacks, names the phase, ends all with 124; started again, the run goes on.
"""

import groups
import pytest
from trials import assert_same

STUCK_AFTER = 5


def last_line(ended: groups.Ended) -> str:
  assert ended.status == 124, ended
  assert any(line.startswith("--- thread MainThread") for line in ended.errors)
  assert not any("Traceback" in line for line in ended.errors)
  assert sum(line.startswith("pretrain: no progress for ") for line in ended.errors) == 1
  return ended.errors[-1]


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["step", "checkpoint", "evaluation"])
def test_one_process(phase, tmp_path, data, calm, trial):
  group = groups.Group(tmp_path / "run", data, groups.ONE, f"--stuck_after={STUCK_AFTER}")
  times = {"step": 8, "checkpoint": 2, "evaluation": 1}
  group.start(faults={0: f"hang:{phase}:{times[phase]}"})
  (ended,) = group.finish(timeout=60)
  allowed = STUCK_AFTER * (4 if phase == "evaluation" else 1)
  assert "pretrain: no progress for " in last_line(ended)
  assert f" s in phase '{phase}' at step " in last_line(ended)
  assert any("in happen" in line for line in ended.errors), "the stack says where it hangs"
  assert allowed <= ended.at - ended.struck_at() < allowed + 5
  if phase == "evaluation":  # to recover from it is like any other; and see test_one_of_two
    trial(seconds=ended.at - ended.struck_at())
    return
  lost = group.lost_steps()
  seconds = group.recover(reached=group.reached(), struck=ended.struck_at())
  trial(lost_steps=lost, seconds=seconds)
  assert_same(calm(groups.ONE), group.workdir)


@pytest.mark.slow
def test_one_of_two(tmp_path, data, calm, trial):
  """The other waits for it in a step, and may notice first: it blames the right one."""
  layout = groups.TWO
  group = groups.Group(tmp_path / "run", data, layout, f"--stuck_after={STUCK_AFTER}")
  group.start(faults={1: "hang:data:8"})
  ended = group.finish(timeout=60)
  for one in ended:
    assert "s: process 1 (" in last_line(one) and "in phase 'data' at step 7;" in last_line(one)
    assert "process 0" not in last_line(one)
  struck = ended[1].struck_at()
  assert max(e.at for e in ended) - struck < STUCK_AFTER + 5
  lost = group.lost_steps()
  trial(lost_steps=lost, seconds=group.recover(reached=group.reached(), struck=struck))
  assert_same(calm(layout), group.workdir)


@pytest.mark.slow
def test_a_long_compilation_is_no_hang(tmp_path, data):
  """Here it takes 4 s, where others may take 3 s."""
  group = groups.Group(tmp_path / "run", data, groups.ONE, "--stuck_after=3", steps=3)
  group.start(faults={0: "pause:compile:1"})
  (ended,) = group.finish(timeout=60)
  assert ended.status == 0, ended
