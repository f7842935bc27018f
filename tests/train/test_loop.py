"""The loop on a toy: what is done when, and how it ends."""

import os
import signal

import jax
import numpy as np
import pytest
from toy_runs import Batches, make, rows, run, saved

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError
from pretrainjax.process.watchdog import Watchdog
from pretrainjax.train.loop import Stopped, fit
from pretrainjax.train.programs import Programs
from pretrainjax.train.tracking import Tracker


class Seen:
  """An evaluator that notes what it was given."""

  def __init__(self, *, every: int, needs_module: bool = False):
    self.name, self.every, self.needs_module = "seen", every, needs_module
    self.given = []

  def run(self, subject):
    self.given.append(type(subject).__name__)
    return {"times": len(self.given)}


def test_each_thing_is_done_when_it_is_due(tmp_path):
  often, finally_ = Seen(every=3), Seen(every=0, needs_module=True)
  data = Batches()
  to_run = make(data, steps=7, evaluators={"often": often, "end": finally_}, log_every=2)
  state = run(to_run, tmp_path)
  assert int(state.step) == 7 and data.closed
  assert saved(tmp_path) == [7, 6]
  assert [r["step"] for r in rows(tmp_path) if "loss" in r] == [2, 4, 6, 7]
  assert [r["step"] for r in rows(tmp_path) if "often/times" in r] == [3, 6, 7]
  assert [r["step"] for r in rows(tmp_path) if "end/times" in r] == [7]
  assert (often.given, finally_.given) == (["Linear"] * 3, ["Net"])


def test_the_watchdog_is_told_what_is_done(tmp_path, monkeypatch):
  dog, told = Watchdog(0.0), set()
  evaluator = Seen(every=0)
  monkeypatch.setattr(evaluator, "run", lambda _: told.add(str(dog.activity())) or {"x": 1.0})
  save = Checkpoints.save

  def saving(self, *args, **kwargs):
    told.add(str(dog.activity()))
    return save(self, *args, **kwargs)

  monkeypatch.setattr(Checkpoints, "save", saving)
  data = Batches(on_step=lambda _: told.add(str(dog.activity())))
  run(make(data, steps=3, evaluators={"seen": evaluator}), tmp_path, watchdog=dog)
  assert told == {
    *(f"in phase 'data' at step {step}" for step in (0, 1, 2)),
    *(f"in phase 'checkpoint' at step {step}" for step in (2, 3)),
    "in phase 'evaluation' at step 3",
  }
  assert str(dog.activity()) == "between phases"


def test_rows_of_several_lengths_have_a_program_each(tmp_path, monkeypatch):
  class Lengths(Batches):
    def __next__(self):
      batch = super().__next__()
      self.steps = getattr(self, "steps", 0) + 1
      return batch | {"padding": np.zeros((16, 3 + 2 * (self.steps % 2)), np.int32)}

  one = run(make(Batches(), steps=6), tmp_path / "one")
  compiled = []
  compile_ = Programs.compile
  monkeypatch.setattr(
    Programs, "compile", lambda *a: compiled.append(a[2]["padding"].shape) or compile_(*a)
  )
  state = run(make(Lengths(), steps=6), tmp_path / "lengths")
  assert compiled == [(16, 5), (16, 3)]
  jax.tree.map(np.testing.assert_array_equal, state.params, one.params)


def test_tokens_of_text_are_counted(tmp_path):
  class Texts(Batches):
    def count(self, batch):
      return {"tokens": 5 * len(batch["x"])}

  run(make(Texts(), steps=4), tmp_path)
  rates = [row for row in rows(tmp_path) if "perf/tokens_per_second" in row]
  assert len(rates) == 3
  for row in rates:
    assert row["perf/tokens_per_second"] == pytest.approx(5 * row["perf/examples_per_second"])


def test_what_an_evaluator_refuses_ends_the_run_in_one_line(tmp_path):
  class Refuses(Seen):
    def run(self, subject):
      raise ValueError("features are\nnot finite")

  to_run = make(Batches(), steps=4, evaluators={"odd": Refuses(every=3)})
  with pytest.raises(UserError, match="config.evals.odd: features are not finite"):
    run(to_run, tmp_path)
  assert saved(tmp_path) == [2], "what was saved before stays"


def test_bad_steps_are_skipped_and_counted(tmp_path, caplog):
  state = run(make(Batches(bad=[2, 3, 5]), steps=6, max_bad_steps=3), tmp_path)
  assert (int(state.bad_steps), int(state.bad_in_row)) == (3, 0)
  assert [r["step"] for r in rows(tmp_path) if r["loss"] == "nan"] == [2, 3, 5]
  assert caplog.text.count("skipped") == 3


def test_too_many_in_a_row_stop_the_run(tmp_path):
  data = Batches(bad=range(5, 100))
  with pytest.raises(UserError, match=r"3 steps in a row up to step 7 .* good step is 4"):
    run(make(data, steps=50, max_bad_steps=3), tmp_path)
  assert data.closed
  # What was saved holds the parameters of the last good step, whole.
  assert saved(tmp_path)[-1] >= 4
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    for step in checkpoints.steps():
      arrays = checkpoints.arrays(step)
      assert all(np.isfinite(x).all() for x in jax.tree.leaves(arrays["params"]))
      assert int(arrays["bad_steps"]) == max(0, step - 4)


def test_sigterm_saves_the_step_at_hand(tmp_path):
  def ask(step):
    if step == 5:
      os.kill(os.getpid(), signal.SIGTERM)

  before = signal.getsignal(signal.SIGTERM)
  try:
    with pytest.raises(Stopped) as stop:
      run(make(Batches(on_step=ask), steps=50, checkpoint_every=100), tmp_path)
  finally:
    signal.signal(signal.SIGTERM, before)
  assert saved(tmp_path) == [stop.value.step]
  assert stop.value.step in (4, 5)
  assert rows(tmp_path)[-1]["step"] == stop.value.step


def test_a_run_gives_the_signal_back(tmp_path):
  before = signal.getsignal(signal.SIGTERM)
  run(make(Batches(), steps=2), tmp_path)
  assert signal.getsignal(signal.SIGTERM) is before


def test_a_failing_source_loses_nothing(tmp_path):
  def fail(step):
    if step == 6:
      raise OSError("the disk is gone")

  with pytest.raises(OSError, match="disk is gone"):
    run(make(Batches(on_step=fail), steps=50), tmp_path)
  assert saved(tmp_path) == [4, 2]
  assert [r["step"] for r in rows(tmp_path)][:3] == [1, 2, 3]


def test_a_finished_run_has_nothing_to_do(tmp_path):
  to_run = make(Batches(), steps=2)
  state = run(to_run, tmp_path)
  seen = rows(tmp_path)
  with Checkpoints(tmp_path) as checkpoints:
    tracker = Tracker(tmp_path, to_run.train.tracking, step=2)
    to = {"workdir": tmp_path, "checkpoints": checkpoints, "tracker": tracker}
    again = fit(to_run, state, **to, profile_to=None)
    tracker.close()
  assert again is state and rows(tmp_path) == seen


@pytest.mark.parametrize("steps", [3, 18])
def test_profile_writes_a_trace(steps, tmp_path):
  """A run too short for the ten steps writes what it has."""
  run(make(Batches(), steps=steps), tmp_path, profile_to=str(tmp_path / "profile"))
  assert list((tmp_path / "profile").rglob("*.xplane.pb"))
