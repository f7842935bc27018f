"""Saved states come back bit for bit, or not at all."""

import damage
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint import manager
from pretrainjax.checkpoint.manager import Checkpoints, Keep
from pretrainjax.errors import UserError

CONFIG = ConfigDict({"a": 1, "t": (1, 2)})


def _state(value: float = 0.0):
  params = {"b": {"kernel": jnp.arange(4096.0).reshape(64, 64) + value}, "a": jnp.ones(4)}
  return {"params": params, "opt_state": optax.adam(1e-3).init(params), "ema": None}


def _save(workdir, steps, **keep):
  with Checkpoints(workdir, keep=Keep(**keep)) as checkpoints:
    for step in steps:
      metrics = {"accuracy": 1.0 if step == 2 else 0.5}
      assert checkpoints.save(step, _state(step), config=CONFIG, metrics=metrics)


def _flip(workdir, step):
  # Array data lies in the largest file; Orbax reads a flipped bit there without a word.
  folder = workdir / "checkpoints" / str(step) / "state" / "ocdbt.process_0" / "d"
  file = max(folder.iterdir(), key=lambda path: path.stat().st_size)
  damage.flip(file)


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


def test_same_step_is_not_saved_twice(tmp_path):
  _save(tmp_path, [3])
  with Checkpoints(tmp_path) as checkpoints:
    assert not checkpoints.save(3, _state(), config=CONFIG)


def test_a_damaged_step_is_passed_over_loudly(tmp_path, caplog):
  _save(tmp_path, [1, 2])
  _flip(tmp_path, 2)
  with Checkpoints(tmp_path) as checkpoints:
    restored = checkpoints.restore(_state())
  jax.tree.map(np.testing.assert_array_equal, restored, _state(1))
  assert "CHECKPOINT DAMAGED" in caplog.text


def test_all_damaged_is_an_error_not_a_new_start(tmp_path):
  _save(tmp_path, [1, 2])
  _flip(tmp_path, 1)
  _flip(tmp_path, 2)
  with Checkpoints(tmp_path) as checkpoints, pytest.raises(UserError, match="is intact"):
    checkpoints.restore(_state())


def test_an_empty_folder_is_no_step(tmp_path):
  _save(tmp_path, [1])
  (tmp_path / "checkpoints" / "9").mkdir()
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps() == [1]


def test_shape_dtype_and_keys_must_agree(tmp_path):
  _save(tmp_path, [1])
  with Checkpoints(tmp_path) as checkpoints:
    for change, message in [
      ({"a": jnp.ones(5)}, r"params.a float32\[4\] float32\[5\]"),
      ({"a": jnp.ones(4, jnp.int32)}, r"params.a float32\[4\] int32\[4\]"),
      ({"c": jnp.ones(4)}, r"params.c absent float32\[4\]"),
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


def test_another_layout_is_told_once_and_not_to_readers(tmp_path, monkeypatch, caplog):
  with monkeypatch.context() as other:
    other.setattr(manager, "_layout", lambda: "8 devices of 2 processes")
    _save(tmp_path, [3])
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    checkpoints.arrays(3)
  assert "was saved by" not in caplog.text
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.restore(_state())
  assert (
    "step 3 was saved by 8 devices of 2 processes and goes on with 1 device of 1 " in caplog.text
  )
