"""A folder is one config's: what it refuses, and what may differ."""

import damage
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Checkpoints, Keep
from pretrainjax.config import spec
from pretrainjax.config.moved import MOVED
from pretrainjax.config.text import from_json
from pretrainjax.data.text_data import TextData
from pretrainjax.errors import UserError
from pretrainjax.objectives.lora import LoRA
from pretrainjax.workdir import claim as workdir
from pretrainjax.workdir.claim import check_shared, claim


def config(**changes) -> ConfigDict:
  plain = {"seed": 0, "data": {"data_dir": "a", "batch_size": 4}, "scale": (0.1, 1.0)}
  return ConfigDict(plain | changes, sort_keys=False)


def with_checkpoint(folder):
  claim(folder, config(), allow_change=False)
  (folder / "checkpoints" / "7").mkdir(parents=True)
  return folder


def test_a_new_folder_is_made_and_holds_the_config(tmp_path):
  claim(tmp_path / "a" / "b", config(), allow_change=False)
  assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["config.json"]
  assert from_json((tmp_path / "a" / "b" / "config.json").read_text()) == config()


def test_the_same_config_goes_on_wherever_its_data_lies(tmp_path):
  with_checkpoint(tmp_path)
  claim(tmp_path, config(), allow_change=False)
  claim(tmp_path, config(data={"data_dir": "elsewhere", "batch_size": 4}), allow_change=False)


def test_an_argument_that_a_class_has_gained_changes_nothing(tmp_path):
  """A run made before `buckets` goes on, and not with another number of them."""
  config = ConfigDict({"data": spec(TextData, datasets="sotu", batch_size=8, length=16)})
  older = config.copy_and_resolve_references()
  del older.data["buckets"]
  claim(tmp_path, older, allow_change=False)
  (tmp_path / "checkpoints" / "7").mkdir(parents=True)
  claim(tmp_path, config, allow_change=False)
  claim(tmp_path, older, allow_change=True)
  config.data.buckets = 4
  with pytest.raises(UserError, match="another config: data.buckets: 1 -> 4;"):
    claim(tmp_path, config, allow_change=False)


def test_an_older_run_that_could_not_say_lora_goes_on_without(tmp_path):
  claim(with_checkpoint(tmp_path), config(lora=spec(LoRA)), allow_change=False)
  with pytest.raises(UserError, match="lora.rank: 0 -> 4"):
    claim(tmp_path, config(lora=spec(LoRA, rank=4)), allow_change=False)


def test_data_of_evaluators_may_move_too(tmp_path):
  before, after = ({"knn": {"train": {"data_dir": folder, "split": "a"}}} for folder in "xy")
  claim(tmp_path, config(evals=before), allow_change=False)
  (tmp_path / "checkpoints" / "7").mkdir(parents=True)
  claim(tmp_path, config(evals=after), allow_change=False)
  with pytest.raises(UserError, match="evals.knn.train.split: a -> b"):
    claim(tmp_path, config(evals={"knn": {"train": {"split": "b"}}}), allow_change=False)


def test_without_its_config_a_folder_is_still_that_of_its_checkpoints(tmp_path):
  claim(tmp_path, config(), allow_change=False)
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, {"step": jnp.int32(1)}, config=config())
  (tmp_path / "config.json").unlink()
  with pytest.raises(UserError, match="holds checkpoints of another config: seed: 0 -> 3"):
    claim(tmp_path, config(seed=3), allow_change=False)
  claim(tmp_path, config(), allow_change=False)
  assert from_json((tmp_path / "config.json").read_text()) == config()


def test_a_lost_config_is_read_from_the_newest_checkpoint_that_has_one(tmp_path):
  claim(tmp_path, config(), allow_change=False)
  with Checkpoints(tmp_path) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, {"a": jnp.ones(1)}, config=config())
  (tmp_path / "config.json").unlink()
  damage.truncate(tmp_path / "checkpoints" / "2" / "config" / "metadata")
  with pytest.raises(UserError, match="holds checkpoints of another config: seed: 0 -> 3"):
    claim(tmp_path, config(seed=3), allow_change=False)


def test_another_config_is_refused_and_changes_nothing(tmp_path):
  text = (with_checkpoint(tmp_path) / "config.json").read_text()
  changed = config(seed=3, scale=(0.2, 1.0), new=1)
  with pytest.raises(UserError) as refusal:
    claim(tmp_path, changed, allow_change=False)
  for part in ("seed: 0 -> 3", "scale: (0.1, 1.0) -> (0.2, 1.0)", "new: (absent) -> 1"):
    assert part in str(refusal.value)
  assert "\n" not in str(refusal.value)
  assert (tmp_path / "config.json").read_text() == text


def test_it_may_be_told_to_go_on(tmp_path, caplog):
  claim(with_checkpoint(tmp_path), config(seed=3), allow_change=True)
  assert "seed: 0 -> 3" in caplog.text
  claim(tmp_path, config(seed=3), allow_change=False)


def test_without_checkpoints_nothing_is_lost_by_a_change(tmp_path):
  claim(tmp_path, config(), allow_change=False)
  (tmp_path / "checkpoints").mkdir()
  claim(tmp_path, config(seed=3), allow_change=False)
  assert from_json((tmp_path / "config.json").read_text()).seed == 3


def test_names_that_have_moved_are_no_change(tmp_path, monkeypatch):
  claim(tmp_path, config(keep=spec(Keep)), allow_change=False)
  (tmp_path / "checkpoints" / "7").mkdir(parents=True)
  path = tmp_path / "config.json"
  path.write_text(path.read_text().replace("checkpoint.manager:Keep", "saving:Kept"))
  with pytest.raises(UserError, match="keep._target: pretrainjax.saving:Kept -> pretrainjax.check"):
    claim(tmp_path, config(keep=spec(Keep)), allow_change=False)
  monkeypatch.setitem(MOVED, "pretrainjax.saving:Kept", "pretrainjax.checkpoint.manager:Keep")
  with pytest.raises(UserError, match="of another config: keep.last: 2 -> 3; choose"):
    claim(tmp_path, config(keep=spec(Keep, last=3)), allow_change=False)
  claim(tmp_path, config(keep=spec(Keep)), allow_change=False)


def test_an_argument_that_came_later_is_no_change_at_its_default(tmp_path):
  old = config(keep=spec(Keep))
  del old.keep["mode"], old.keep["best"]
  claim(tmp_path, old, allow_change=False)
  (tmp_path / "checkpoints" / "7").mkdir(parents=True)
  with pytest.raises(UserError, match="of another config: keep.best: 1 -> 2; choose"):
    claim(tmp_path, config(keep=spec(Keep, best=2)), allow_change=False)
  claim(tmp_path, config(keep=spec(Keep)), allow_change=False)


def test_a_class_that_is_gone_is_compared_by_its_name(tmp_path):
  gone = {"_target": "lab_of_nobody.net:Net", "depth": 3}
  claim(tmp_path, config(net=gone), allow_change=False)
  (tmp_path / "checkpoints" / "7").mkdir(parents=True)
  claim(tmp_path, config(net=gone), allow_change=False)
  with pytest.raises(UserError, match="net._target: lab_of_nobody.net:Net -> lab.net:Net; choose"):
    claim(tmp_path, config(net=gone | {"_target": "lab.net:Net"}), allow_change=False)


def test_a_broken_config_is_named(tmp_path):
  (with_checkpoint(tmp_path) / "config.json").write_text('{"seed": ')
  with pytest.raises(
    UserError, match=r"config.json: is no config \(no config as it is saved: Expecting"
  ):
    claim(tmp_path, config(), allow_change=False)


def test_many_differences_are_counted(tmp_path):
  with_checkpoint(tmp_path)
  with pytest.raises(UserError, match="and 4 more; choose another"):
    claim(tmp_path, config(**{f"key{i}": i for i in range(12)}), allow_change=False)


def test_another_layout_goes_on_with_a_line_that_says_so(tmp_path, caplog):
  before, after = ({"mode": "jit", "mesh": {"fsdp": n}} for n in (1, 4))
  claim(tmp_path, config(parallel=before), allow_change=False)
  (tmp_path / "checkpoints" / "7").mkdir(parents=True)
  claim(tmp_path, config(parallel=after), allow_change=False)
  (record,) = caplog.records
  assert "another layout: parallel.mesh.fsdp: 1 -> 4; the same examples" in record.getMessage()
  with pytest.raises(UserError, match="another config: seed: 0 -> 1; choose"):
    claim(tmp_path, config(seed=1, parallel=before), allow_change=False)


def test_one_process_meets_nobody(tmp_path):
  check_shared(tmp_path)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", ["", "node2"])
def test_processes_meet_in_one_folder_or_are_told(other, tmp_path, monkeypatch):
  monkeypatch.setattr(workdir, "is_connected", lambda: True)
  monkeypatch.setattr(workdir, "gather", lambda name, text: [text, other])
  if not other:
    check_shared(tmp_path)
  else:
    with pytest.raises(UserError, match=f"process 1 on {other} does not see what process 0"):
      check_shared(tmp_path)
  assert list(tmp_path.iterdir()) == [], "the mark is taken away"
