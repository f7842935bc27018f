"""Skipped steps name their records once, and too many in a row name the last good step."""

import pytest
from toy_runs import Batches, make, run, saved

from pretrainjax.errors import UserError
from pretrainjax.train.bad_steps import SKIPPED
from pretrainjax.workdir.json_lines import rows


def test_the_records_of_a_skipped_step_are_logged(tmp_path, caplog):
  state = run(make(Batches(bad=[3]), steps=6), tmp_path)
  assert int(state.bad_steps) == 1
  (row,) = rows(tmp_path / SKIPPED)
  assert (row["step"], row["batch"], row["loss"], row["grad_norm"]) == (3, 2, "nan", "nan")
  assert row["keys"] == [f"toy/train/{i}" for i in range(32, 48)]
  assert "step 3 skipped: loss nan, gradient norm nan, of toy/train/32" in caplog.text
  assert "toy/train/35 and 12 more" in caplog.text and "toy/train/36" not in caplog.text


def test_what_is_done_again_is_not_noted_again(tmp_path):
  """Step 5 lies behind the newest checkpoint when the run breaks off, and is done twice."""

  def fail(step):
    if step == 9:
      raise OSError("gone")

  with pytest.raises(OSError, match="gone"):
    run(make(Batches(bad=[5], on_step=fail), steps=12, checkpoint_every=4), tmp_path)
  assert [row["step"] for row in rows(tmp_path / SKIPPED)] == [5]
  data = Batches(bad=[5])
  assert int(run(make(data, steps=12, checkpoint_every=4), tmp_path).bad_steps) == 1
  assert data.started == [4]
  assert [row["step"] for row in rows(tmp_path / SKIPPED)] == [5]


def test_a_stop_names_the_last_good_step_and_sets_later_checkpoints_aside(tmp_path):
  with pytest.raises(UserError) as refusal:
    run(make(Batches(bad=range(6, 99)), steps=50, max_bad_steps=3), tmp_path)
  said = str(refusal.value)
  assert "3 steps in a row up to step 8" in said and "\n" not in said
  assert "the last good step is 5; started again, the run goes on from step 4;" in said
  assert saved(tmp_path) == [4]
  (aside,) = (tmp_path / "quarantine").iterdir()
  assert aside.name == "STEP-6"
  assert "the last good step is 5" in (aside / "reason.txt").read_text()
  data = Batches()
  state = run(make(data, steps=8), tmp_path)
  assert data.started == [4] and int(state.bad_steps) == 0


def test_what_is_the_only_checkpoint_stays(tmp_path):
  with pytest.raises(UserError, match="last good step is 1; no checkpoint is older"):
    run(make(Batches(bad=range(2, 99)), steps=50, max_bad_steps=3), tmp_path)
  assert saved(tmp_path) == [2]


def test_a_run_that_is_well_has_no_file(tmp_path):
  run(make(Batches(), steps=2), tmp_path)
  assert not (tmp_path / SKIPPED).exists()
