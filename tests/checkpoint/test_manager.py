"""Saved states come back bit for bit, or not at all."""

import shutil

import damage
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint import manager
from pretrainjax.checkpoint.manager import Checkpoints, Keep
from pretrainjax.checkpoint.sealed import Damaged
from pretrainjax.errors import UserError

CONFIG = ConfigDict({"a": 1, "t": (1, 2)})


def _state(value: float = 0.0):
  params = {"b": {"kernel": jnp.arange(4096.0).reshape(64, 64) + value}, "a": jnp.ones(4)}
  return {"params": params, "opt_state": optax.adam(1e-3).init(params), "ema": None}


def _save(workdir, steps, **keep):
  with Checkpoints(workdir, keep=Keep(**keep)) as checkpoints:
    for step in steps:
      assert checkpoints.save(step, _state(step), config=CONFIG)
      checkpoints.note(step, evaluators=["test"], numbers={"accuracy": 1.0 if step == 2 else 0.5})


def _flip(workdir, step):
  damage.flip(damage.array_data(workdir / "checkpoints" / str(step)))


def test_round_trip_is_exact(tmp_path):
  _save(tmp_path, [3])
  with Checkpoints(tmp_path) as checkpoints:
    restored = checkpoints.restore(_state())
    assert checkpoints.config(3).to_dict() == CONFIG.to_dict()
  assert jax.tree.structure(restored) == jax.tree.structure(_state())
  jax.tree.map(np.testing.assert_array_equal, restored, _state(3))


def test_nothing_saved_restores_nothing(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.restore(_state()) is None


def test_keeps_newest_and_best(tmp_path):
  _save(tmp_path, range(1, 6), last=2, metric="accuracy")
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps() == [5, 4, 2]


def test_what_is_best_is_known_after_a_restart(tmp_path):
  _save(tmp_path, [1, 2, 3], last=1, metric="accuracy")
  _save(tmp_path, [4, 5], last=1, metric="accuracy")
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps() == [5, 2]


def test_less_may_be_better(tmp_path):
  with Checkpoints(tmp_path, keep=Keep(last=1, metric="loss", mode="min")) as checkpoints:
    for step, loss in enumerate([0.3, 0.1, 0.2, 0.4]):
      checkpoints.save(step, _state(step), config=CONFIG)
      checkpoints.note(step, evaluators=["test"], numbers={"loss": loss})
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps() == [3, 1]


def test_the_last_number_decides_too_which_steps_stay(tmp_path):
  """The best so far goes as soon as the newest is known to be better."""
  with Checkpoints(tmp_path, keep=Keep(last=1, metric="accuracy")) as checkpoints:
    for step, value in ((1, 0.9), (2, 0.1), (3, 0.95)):
      checkpoints.save(step, _state(step), config=CONFIG)
      checkpoints.wait()
      assert 1 in checkpoints.steps(), "nothing goes before the number is known"
      checkpoints.note(step, evaluators=["test"], numbers={"accuracy": value})
    assert checkpoints.steps() == [3]


def test_a_step_that_is_not_there_has_no_note(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.note(5, evaluators=["test"], numbers={"accuracy": 1.0})
    assert checkpoints.steps() == []


def test_what_was_not_measured_is_known_and_so_is_the_interval(tmp_path):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(5, _state(5), config=CONFIG, interval={"steps": 2, "sums": {"loss": 0.1}})
    checkpoints.wait()
    assert checkpoints.not_yet_run(5, ["knn", "collapse"]) == ["collapse", "knn"]
    checkpoints.note(5, evaluators=["knn"], numbers={"knn/top1": 0.5})
    assert checkpoints.not_yet_run(5, ["knn", "collapse"]) == ["collapse"]
    assert checkpoints.interval(5) == {"steps": 2, "sums": {"loss": 0.1}}
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(_state()), _state(5))


def test_same_step_is_not_saved_twice(tmp_path, caplog):
  _save(tmp_path, [3])
  with Checkpoints(tmp_path) as checkpoints:
    assert not checkpoints.save(3, _state(), config=CONFIG)
  assert "step 3 is not saved" in caplog.text


def test_a_damaged_step_is_passed_over_loudly_and_set_aside(tmp_path, caplog):
  _save(tmp_path, [1, 2])
  _flip(tmp_path, 2)
  before = _content(tmp_path / "checkpoints" / "2")
  with Checkpoints(tmp_path) as checkpoints:
    restored = checkpoints.restore(_state())
    jax.tree.map(np.testing.assert_array_equal, restored, _state(1))
    assert checkpoints.steps() == [1]
    assert checkpoints.save(2, _state(2), config=CONFIG)  # it is made anew
  (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
  assert line.startswith("CHECKPOINT DAMAGED: step 2 (checksum differs in 1 arrays, first ")
  aside = tmp_path / "quarantine" / "STEP-2"
  assert str(aside) in line and "\n" not in line
  after = _content(aside)
  assert after.pop("reason.txt").startswith(b"checksum differs in 1 arrays")
  assert after == before
  with Checkpoints(tmp_path) as checkpoints:
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(_state()), _state(2))


def _content(folder):
  return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_all_damaged_is_an_error_not_a_new_start_and_moves_nothing(tmp_path):
  _save(tmp_path, [1, 2])
  (tmp_path / "checkpoints" / "9").mkdir()
  for step in (1, 2):
    _flip(tmp_path, step)
  before = _content(tmp_path)
  for _ in range(2):  # nor is it one the second time
    with (
      Checkpoints(tmp_path) as checkpoints,
      pytest.raises(UserError, match="no checkpoint is in"),
    ):
      checkpoints.restore(_state())
  assert _content(tmp_path) == before


def test_no_new_start_beside_what_was_set_aside(tmp_path):
  _save(tmp_path, [1])
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.set_aside(1, reason="test") == tmp_path / "quarantine" / "STEP-1"
    with pytest.raises(UserError, match="quarantine holds STEP-1; move both folders away"):
      checkpoints.restore(_state())


def test_a_reader_moves_nothing(tmp_path):
  _save(tmp_path, [1, 2])
  _flip(tmp_path, 2)
  before = _content(tmp_path)
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    with pytest.raises(Damaged, match="checksum differs"):
      checkpoints.arrays(2)
    checkpoints.arrays(1)
  assert _content(tmp_path) == before


@pytest.mark.parametrize("part", ["state", "config", "meta", None])
def test_a_partial_step_is_none_and_does_not_stop_later_saves(part, tmp_path):
  """Orbax takes an empty folder for the latest step, and then saves nothing up to it."""
  _save(tmp_path, [1, 9])
  partial = tmp_path / "checkpoints" / "9"
  shutil.rmtree(partial / part if part else partial)
  partial.mkdir(exist_ok=True)
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.steps() == [1]
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(_state()), _state(1))
    assert checkpoints.save(2, _state(2), config=CONFIG)
    checkpoints.wait()
    assert checkpoints.steps() == [2, 1]
  assert (tmp_path / "quarantine" / "STEP-9" / "reason.txt").is_file()


def test_a_deletion_that_was_interrupted_is_ended_without_a_word(tmp_path, caplog):
  _save(tmp_path, [1, 5, 6])
  (tmp_path / "checkpoints" / "1" / "meta").mkdir(parents=True)
  with Checkpoints(tmp_path) as checkpoints:
    assert int(checkpoints.restore(_state())["params"]["b"]["kernel"][0, 0]) == 6
    checkpoints.save(7, _state(7), config=CONFIG)
    checkpoints.wait()
    assert checkpoints.steps() == [7, 6]
  assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"6", "7"}
  assert "DAMAGED" not in caplog.text and not (tmp_path / "quarantine").exists()


def test_a_copy_under_another_number_is_not_taken_for_it(tmp_path):
  _save(tmp_path, [1, 2])
  shutil.copytree(tmp_path / "checkpoints" / "1", tmp_path / "checkpoints" / "30")
  with Checkpoints(tmp_path) as checkpoints:
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(_state()), _state(2))
  reason = (tmp_path / "quarantine" / "STEP-30" / "reason.txt").read_text()
  assert reason.startswith("is a copy of step 1\n")


def test_a_save_without_room_is_told_and_the_next_one_made(tmp_path, monkeypatch, caplog):
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.save(1, _state(1), config=CONFIG)
    with monkeypatch.context() as full:
      full.setattr(manager, "lack_of_space", lambda folder, state: "it takes more")
      assert not checkpoints.save(2, _state(2), config=CONFIG)
      checkpoints.wait_until_idle()  # which is not an error yet
      assert "CHECKPOINT NOT SAVED: step 2: it takes more; training goes on" in caplog.text
    assert checkpoints.save(3, _state(3), config=CONFIG)
    checkpoints.wait()
    assert checkpoints.steps() == [3, 1]


@pytest.mark.parametrize("how", ["wait", "close"])
def test_the_last_save_without_room_is_an_error(how, tmp_path, monkeypatch):
  monkeypatch.setattr(manager, "lack_of_space", lambda folder, state: "it takes more")
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(2, _state(2), config=CONFIG)
  with pytest.raises(
    UserError, match="cannot save step 2: it takes more; what was saved before is"
  ):
    getattr(checkpoints, how)()
  checkpoints.close()  # told once


def test_shape_dtype_and_keys_must_agree(tmp_path):
  _save(tmp_path, [1])
  with Checkpoints(tmp_path) as checkpoints:
    for change, message in [
      ({"a": jnp.ones(5)}, r"params.a saved float32\[4\] wanted float32\[5\]"),
      ({"a": jnp.ones(4, jnp.int32)}, r"params.a saved float32\[4\] wanted int32\[4\]"),
      ({"c": jnp.ones(4)}, r"params.c saved absent wanted float32\[4\]"),
    ]:
      target = _state()
      target["params"] = target["params"] | change
      with pytest.raises(UserError, match=message):
        checkpoints.restore(target)


def test_a_step_that_is_not_there_is_named(tmp_path):
  _save(tmp_path, [1])
  with (
    Checkpoints(tmp_path) as checkpoints,
    pytest.raises(UserError, match="no checkpoint of step 7"),
  ):
    checkpoints.restore(_state(), step=7)


def test_a_reader_finds_what_the_writer_saved_meanwhile(tmp_path):
  with Checkpoints(tmp_path) as writer:
    writer.save(1, _state(1), config=CONFIG)
    writer.wait()
    with Checkpoints(tmp_path, read_only=True) as reader:
      assert reader.steps() == [1]
      writer.save(2, _state(2), config=CONFIG)
      writer.wait()
      assert reader.steps() == [2, 1]
      kernel = reader.arrays(2)["params"]["b"]["kernel"]
  np.testing.assert_array_equal(kernel, _state(2)["params"]["b"]["kernel"])


def test_a_reader_lists_anew_where_a_step_goes_while_it_lists(tmp_path, monkeypatch):
  """As a trainer beside it deletes one; Orbax raises then."""
  _save(tmp_path, [1])
  opened, calls = manager.ocp.CheckpointManager, []

  def open_late(*args, **options):
    calls.append(args)
    if len(calls) < 3:
      raise FileNotFoundError("checkpoints/47")
    return opened(*args, **options)

  monkeypatch.setattr(manager.ocp, "CheckpointManager", open_late)
  with Checkpoints(tmp_path, read_only=True) as reader:
    assert reader.steps() == [1] and len(calls) == 3
