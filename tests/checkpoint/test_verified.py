"""One step's arrays: the same bits, or a reason, whatever becomes of its files."""

import json
import shutil

import damage
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint import meta, verified
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.checkpoint.sealed import Damaged
from pretrainjax.errors import UserError

STATE = {"kernel": jnp.arange(4096.0).reshape(64, 64), "step": jnp.asarray(3)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  with Checkpoints(workdir) as checkpoints:
    checkpoints.save(3, STATE, config=ConfigDict({"a": 1}))
  return workdir / "checkpoints"


@pytest.fixture
def step(saved, tmp_path):
  shutil.copytree(saved, tmp_path / "checkpoints")
  options = ocp.CheckpointManagerOptions(read_only=True)
  handlers = {"state": ocp.StandardCheckpointHandler()}
  folder = tmp_path / "checkpoints"
  with ocp.CheckpointManager(folder, options=options, item_handlers=handlers) as manager:
    yield manager, tmp_path / "checkpoints" / "3"


def test_the_bits_come_back(step):
  restored, reason = verified.restore(*step, STATE)
  assert reason == ""
  jax.tree.map(np.testing.assert_array_equal, restored, STATE)
  jax.tree.map(np.testing.assert_array_equal, verified.arrays(*step), STATE)


@pytest.mark.parametrize("how", [damage.flip, damage.truncate])
def test_damaged_data_is_a_reason_in_one_line(how, step):
  how(damage.array_data(step[1]))
  restored, reason = verified.restore(*step, STATE)
  assert restored is None and reason and "\n" not in reason and len(reason) < 300
  with pytest.raises(Damaged):
    verified.arrays(*step)


def test_an_array_under_another_name_is_damage_not_another_network(step):
  path = step[1] / "state" / "_METADATA"
  text = path.read_text()
  assert text.count("kernel") > 1
  path.write_text(text.replace("kernel", "kernem"))
  _, reason = verified.restore(*step, STATE)
  assert "kernem" in reason
  metadata = json.loads(text)
  (name,) = (name for name in metadata["tree_metadata"] if "kernel" in name)
  del metadata["tree_metadata"][name]
  path.write_text(json.dumps(metadata))
  _, reason = verified.restore(*step, STATE)
  assert reason == "kernel was saved as float32[64, 64] and is absent"


def test_other_arrays_than_were_saved_are_the_users_mistake(step, caplog):
  with pytest.raises(UserError, match=r"kernel saved float32\[64, 64\] wanted bfloat16\[64, 64\]"):
    verified.restore(*step, STATE | {"kernel": jnp.zeros((64, 64), jnp.bfloat16)})
  assert "path    saved            wanted" in caplog.text


def test_another_layout_is_told_and_not_to_readers(step, monkeypatch, caplog):
  monkeypatch.setattr(verified, "layout", lambda: "8 devices of 2 processes")
  verified.arrays(*step)
  assert "was saved by" not in caplog.text
  verified.restore(*step, STATE)
  assert (
    f"step 3 was saved by {meta.layout()} and goes on with 8 devices of 2 processes" in caplog.text
  )
