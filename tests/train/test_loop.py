"""The loop on a toy: what is done when, and how it ends."""

import os
import signal
import time

import jax
import numpy as np
import pytest
from toy_runs import Batches, make, rows, run, saved

from pretrainjax.checkpoint.manager import Checkpoints, Keep
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
  assert saved(tmp_path) == [3, 2], "the step that it was to measure is saved first"


def test_a_step_is_saved_before_it_is_evaluated_and_evaluated_once(tmp_path):
  class Looks(Seen):
    def run(self, subject):
      self.given.append(saved(tmp_path)[0])
      return {"times": len(self.given)}

  looks = Looks(every=2)
  to_run = make(Batches(), steps=5, evaluators={"looks": looks})
  for _ in range(2):  # the second time there is nothing to do
    run(to_run, tmp_path)
    assert looks.given == [2, 4, 5]


def test_what_an_evaluator_has_spoilt_is_evaluated_when_the_run_goes_on(tmp_path):
  """The same rows as if nothing had happened, at the last step as at others."""

  class Fails(Seen):
    fails_at = {3: 1, 6: 2, 7: 1}

    def run(self, subject):
      step = 3 * len(self.given) + 3 if len(self.given) < 2 else 7
      if self.fails_at.get(step, 0):
        self.fails_at[step] -= 1
        raise RuntimeError("out of memory")
      return super().run(subject)

  run(make(Batches(), steps=7, evaluators={"odd": Seen(every=3)}, log_every=2), tmp_path / "calm")
  evaluator, failures = Fails(every=3), 0
  while len(evaluator.given) < 3:
    try:
      run(make(Batches(), steps=7, evaluators={"odd": evaluator}, log_every=2), tmp_path / "run")
    except RuntimeError as error:
      assert str(error) == "out of memory"
      failures += 1
  assert failures == 4
  calm, found = (_numbers(tmp_path / name) for name in ("calm", "run"))
  assert found == calm and saved(tmp_path / "run") == [7, 6]


def _numbers(workdir):
  return [{k: v for k, v in r.items() if not k.startswith("perf/")} for r in rows(workdir)]


def test_the_best_checkpoint_stays_also_by_the_number_of_the_last_step(tmp_path):
  class Numbers(Seen):
    def run(self, subject):
      self.given.append(None)
      return {"x": self.values[len(self.given) - 1]}

  for name, values, stay in (("early", [0.9, 0.1, 0.2], [6, 2]), ("last", [0.5, 0.1, 0.7], [6])):
    evaluator = Numbers(every=2)
    evaluator.values = values
    keep = Keep(last=1, best=1, metric="seen/x")
    run(make(Batches(), steps=6, evaluators={"seen": evaluator}, keep=keep), tmp_path / name)
    assert saved(tmp_path / name) == stay


@pytest.mark.parametrize("checkpoint_every", [2, 100], ids=["saved", "not saved yet"])
def test_sigterm_interrupts_an_evaluation_at_once(checkpoint_every, tmp_path):
  class Long(Seen):
    def run(self, subject):
      self.given.append(None)
      if len(self.given) == 1:
        os.kill(os.getpid(), signal.SIGTERM)
        self.since = time.monotonic()
        time.sleep(30)
      return {"x": 1.0}

  evaluator, before = Long(every=4), signal.getsignal(signal.SIGTERM)
  options = {"evaluators": {"long": evaluator}, "checkpoint_every": checkpoint_every}
  try:
    with pytest.raises(Stopped, match="step 4"):
      run(make(Batches(), steps=6, **options), tmp_path)
    assert time.monotonic() - evaluator.since < 2
  finally:
    signal.signal(signal.SIGTERM, before)
  assert saved(tmp_path)[0] == 4
  run(make(Batches(), steps=6, **options), tmp_path)
  assert [r["step"] for r in rows(tmp_path) if "long/x" in r] == [4, 6]


def test_a_run_of_no_steps_is_saved_and_evaluated(tmp_path):
  state = run(make(Batches(), steps=0, evaluators={"seen": Seen(every=1)}), tmp_path)
  assert int(state.step) == 0 and saved(tmp_path) == [0]
  assert rows(tmp_path) == [{"step": 0, "seen/times": 1}]


@pytest.mark.repeat
def test_a_row_is_the_mean_of_its_interval_wherever_a_run_was_stopped(tmp_path):
  data = {"bad": [5]}
  run(make(Batches(**data), steps=11, max_bad_steps=3), tmp_path / "each")
  each = {row["step"]: row for row in rows(tmp_path / "each")}
  run(make(Batches(**data), steps=11, log_every=4), tmp_path / "calm")
  calm = _numbers(tmp_path / "calm")
  assert [row["step"] for row in calm] == [4, 8, 11]
  for row, steps in zip(calm, ([1, 2, 3, 4], [6, 7, 8], [9, 10, 11]), strict=True):
    assert row["loss"] == sum(each[step]["loss"] for step in steps) / len(steps)
    assert row["bad_steps"] == each[row["step"]]["bad_steps"]
  for stop in (3, 8):  # in the middle of an interval; a checkpoint is at every second step

    def fail(step, at=stop):
      if step == at + 2:
        raise OSError("the disk is gone")

    workdir = tmp_path / str(stop)
    with pytest.raises(OSError, match="disk is gone"):
      run(make(Batches(**data, on_step=fail), steps=11, log_every=4), workdir)
    run(make(Batches(**data), steps=11, log_every=4), workdir)
    assert _numbers(workdir) == calm, "to the last bit"


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


@pytest.mark.parametrize("steps", [3, pytest.param(18, marks=pytest.mark.repeat)])
def test_profile_writes_a_trace(steps, tmp_path):
  """A run too short for the ten steps writes what it has."""
  run(make(Batches(), steps=steps), tmp_path, profile_to=str(tmp_path / "profile"))
  assert list((tmp_path / "profile").rglob("*.xplane.pb"))
