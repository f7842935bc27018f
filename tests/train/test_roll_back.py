"""A jump of the loss: back to a checkpoint, on with later batches, and nothing lost by a kill."""

import json

import jax
import numpy as np
import pytest
import toy
from toy_runs import Batches, Toy, make, rows, run, saved

from pretrainjax.checkpoint.manager import Checkpoints, Keep
from pretrainjax.errors import UserError
from pretrainjax.train.parallel import Parallel
from pretrainjax.train.roll_back import ROLL_BACKS, resume
from pretrainjax.train.spikes import Spikes
from pretrainjax.train.step import make_train_step
from pretrainjax.workdir import json_lines

ODD = (22, 23)
STEPS = 30
SLOW = pytest.mark.slow


def options(**changes) -> dict:
  """Of a run that goes back: judged from step 10 on, two high losses are a spike."""
  spikes = {"action": "roll_back", "window": 10, "patience": 2, "back": 2} | changes
  return {"spikes": Spikes(**spikes), "checkpoint_every": 4, "keep": Keep(last=3)}


def spiky(steps=STEPS, *, data=None, **changes):
  return make(data or Batches(odd=ODD), steps=steps, **options(**changes))


class Killed(Exception):
  """In place of a SIGKILL, at a moment that a test chooses."""


def test_the_run_goes_back_and_passes_over_the_batches(tmp_path, caplog):
  data = Batches(odd=ODD)
  state = run(spiky(data=data), tmp_path)
  # The spike is steps 22 and 23; 20 is the newest checkpoint two steps before it.
  assert (int(state.step), int(state.position), int(state.roll_backs)) == (30, 33, 1)
  assert data.started == [0, 23]
  (row,) = json_lines.rows(tmp_path / ROLL_BACKS)
  assert (row["number"], row["back_to"], row["position"], row["step"]) == (1, 20, 23, 23)
  assert row["passed_over"] == [20, 23]
  assert "LOSS SPIKE: loss 9" in caplog.text and "going back to step 20" in caplog.text
  assert "batches 20 to 22 are passed over (roll-back 1 of at most 5)" in caplog.text
  # Metrics have each step once, and what was taken back is kept.
  trained = [row for row in rows(tmp_path) if "loss" in row]
  assert [row["step"] for row in trained] == list(range(1, STEPS + 1))
  assert all(row["loss"] < 10 for row in trained)
  before = (tmp_path / "metrics_before_roll_back.jsonl").read_text().splitlines()
  assert [json.loads(line)["step"] for line in before] == [21, 22, 23]


def test_it_ends_as_a_run_that_never_saw_the_batches(tmp_path):
  """Bit for bit: steps 21 on take batches 23 on."""
  state = run(spiky(), tmp_path)
  to_run = spiky()
  expected = to_run.parallel.make(to_run.init)
  step = jax.jit(
    make_train_step(
      Toy(),
      to_run.graphdef,
      to_run.tx,
      learning_rate=to_run.learning_rate,
      total_steps=to_run.total_steps,
      spikes=to_run.train.spikes,
    )
  )
  for i in range(STEPS):
    expected, _ = step(expected, toy.batch(i if i < 20 else i + 3))
  for name in ("params", "opt_state", "extras", "trend", "key"):
    jax.tree.map(np.testing.assert_array_equal, getattr(state, name), getattr(expected, name))


@pytest.mark.parametrize("first", [22, pytest.param(24, marks=SLOW)])
def test_a_checkpoint_of_the_spike_is_set_aside(first, tmp_path):
  """Saved in step 24, before four high losses were seen; it must not be the newest."""
  data = Batches(odd=range(first, first + 4))
  run(spiky(steps=28, data=data, patience=4, back=0), tmp_path)
  (row,) = json_lines.rows(tmp_path / ROLL_BACKS)
  assert (row["back_to"], row["position"]) == (20, first + 3)
  (aside,) = (tmp_path / "quarantine").glob("STEP-24*")
  assert "went back to step 20: loss" in (aside / "reason.txt").read_text()
  assert saved(tmp_path) == [28, 24, 20]
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert int(checkpoints.arrays(24)["roll_backs"]) == 1


@pytest.mark.parametrize(
  "moment",
  [pytest.param(1, marks=pytest.mark.repeat), *(pytest.param(n, marks=SLOW) for n in (3, 5))],
)
def test_a_kill_after_it_changes_nothing(moment, tmp_path):
  """Before the next checkpoint, of step 24, only the journal knows what is passed over."""
  calm, troubled = tmp_path / "calm", tmp_path / "troubled"
  expected = run(spiky(), calm)

  def kill(step):
    if len(data.started) == 2 and step == 24 + moment:
      raise Killed

  data = Batches(odd=ODD, on_step=kill)
  with pytest.raises(Killed):
    run(spiky(data=data), troubled)
  data = Batches(odd=ODD)
  state = run(spiky(data=data), troubled)
  assert data.started[0] >= 23 and len(data.started) == 1, "no second roll-back"
  jax.tree.map(np.testing.assert_array_equal, state, expected)
  plain = [
    [{k: v for k, v in row.items() if not k.startswith("perf/")} for row in rows(workdir)]
    for workdir in (calm, troubled)
  ]
  assert plain[0] == plain[1]


@pytest.mark.parametrize(
  "moment",
  [pytest.param("set_aside", marks=SLOW), "append", pytest.param("roll_back", marks=SLOW)],
)
def test_a_kill_in_the_middle_of_it_changes_nothing(moment, tmp_path, monkeypatch):
  more = {"steps": 28, "patience": 4, "back": 0}
  poisoned = (22, 23, 24, 25)
  expected = run(spiky(data=Batches(odd=poisoned), **more), tmp_path / "calm")

  def die(*args, **kwargs):
    raise Killed

  target = {
    "set_aside": "pretrainjax.checkpoint.manager.Checkpoints.set_aside",
    "append": "pretrainjax.train.roll_back.append",
    "roll_back": "pretrainjax.train.tracking.Tracker.roll_back",
  }[moment]
  with monkeypatch.context() as patch, pytest.raises(Killed):
    patch.setattr(target, die)
    run(spiky(data=Batches(odd=poisoned), **more), tmp_path / "troubled")
  state = run(spiky(data=Batches(odd=poisoned), **more), tmp_path / "troubled")
  jax.tree.map(np.testing.assert_array_equal, state, expected)
  assert saved(tmp_path / "troubled") == saved(tmp_path / "calm")
  assert [r["loss"] for r in rows(tmp_path / "troubled")] == [
    r["loss"] for r in rows(tmp_path / "calm")
  ]


@pytest.mark.repeat
def test_a_second_one_from_further_back_makes_the_note_of_the_first_one_old(tmp_path):
  """Step 20 is saved anew after it: its batches are not those that the first note has."""

  def kill(step):
    if len(data.started) == 3 and step == 31:
      raise Killed

  odd = range(22, 26)
  data = Batches(odd=odd, on_step=kill)
  with pytest.raises(Killed):
    run(spiky(data=data), tmp_path)
  assert [row["back_to"] for row in json_lines.rows(tmp_path / ROLL_BACKS)] == [20, 16]
  assert saved(tmp_path)[0] == 20
  data = Batches(odd=odd)
  run(spiky(data=data), tmp_path)
  assert data.started == [29]


def test_too_many_end_the_run(tmp_path):
  data = Batches(odd=range(22, 999))
  with pytest.raises(UserError, match=r"max_roll_backs: loss .* gone back 2 times") as refusal:
    run(spiky(data=data, max_roll_backs=2), tmp_path)
  assert "\n" not in str(refusal.value)
  assert data.started == [0, 23, 25]
  assert saved(tmp_path)[0] == 16, "20 lies less than two steps before the second spike"


@pytest.mark.slow
def test_further_batches_are_passed_over_where_asked(tmp_path):
  data = Batches(odd=(22, 23, 24, 25, 26))
  state = run(spiky(data=data, skip=3), tmp_path)
  assert data.started == [0, 26] and int(state.position) == 36


def test_a_spike_before_any_checkpoint_is_a_warning(tmp_path, caplog):
  to_run = make(Batches(odd=ODD), steps=30, **options() | {"checkpoint_every": 100})
  state = run(to_run, tmp_path)
  assert "there is no checkpoint before it to go back to" in caplog.text
  assert (int(state.position), int(state.roll_backs)) == (30, 0)


@pytest.mark.parametrize(("action", "said"), [("warn", 1), ("off", 0)])
def test_warn_says_so_once_and_off_says_nothing(action, said, tmp_path, caplog):
  data = Batches(odd=(22, 23, 24))
  state = run(spiky(data=data, action=action), tmp_path)
  assert caplog.text.count("LOSS SPIKE") == said
  assert data.started == [0] and (int(state.position), int(state.roll_backs)) == (30, 0)


@pytest.mark.slow
def test_pmap_goes_back_alike(tmp_path):
  data = Batches(odd=ODD)
  to_run = make(data, steps=STEPS, parallel=Parallel(mode="pmap"), **options())
  state = to_run.parallel.whole(run(to_run, tmp_path))
  assert data.started == [0, 23]
  expected = run(spiky(), tmp_path / "jit")
  np.testing.assert_allclose(
    state.params["encoder"]["kernel"], expected.params["encoder"]["kernel"], rtol=1e-5
  )


def test_another_batch_size_goes_on_at_the_same_example(tmp_path, caplog):
  run(make(Batches(), steps=6), tmp_path)
  larger = Batches()
  larger.batch_size = 32
  to_run = make(larger, steps=8)
  with Checkpoints(tmp_path) as checkpoints:
    state = resume(to_run, checkpoints, tmp_path)
  assert (int(state.step), int(state.position)) == (6, 3)
  assert "batches of 32, not 16: going on with example 96" in caplog.text
  larger.batch_size = 64
  with Checkpoints(tmp_path) as checkpoints:
    with pytest.raises(UserError, match=r"batch_size: found 64, expected a divisor of the 96 ex"):
      resume(make(larger, steps=8), checkpoints, tmp_path)


def test_a_new_run_does_not_read_the_journal_of_one_before(tmp_path):
  json_lines.append(tmp_path / ROLL_BACKS, {"number": 1, "back_to": 4, "position": 99})
  data = Batches()
  run(make(data, steps=4), tmp_path)
  run(make(data, steps=6), tmp_path)
  assert data.started == [0, 4]
  assert (tmp_path / "roll_backs.1.jsonl").exists()
