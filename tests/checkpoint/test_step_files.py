"""Whatever stands in place of a step's files, a reader comes back, and takes the step before."""

import shutil

import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from rounds import no_hang
from strange_files import NO_FILES, STRANGE, in_place_of

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.checkpoint.sealed import Damaged
from pretrainjax.checkpoint.step_files import check_files

STATE = {"params": {"kernel": jnp.arange(12.0).reshape(3, 4)}, "step": jnp.asarray(1)}
METADATA = ("_CHECKPOINT_METADATA", "state/_METADATA", "state/manifest.ocdbt")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  with Checkpoints(workdir) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, STATE, config=ConfigDict({"a": 1}))
  return workdir


@pytest.fixture
def workdir(shared, tmp_path):
  return shutil.copytree(shared, tmp_path / "run")


def names(workdir) -> list[str]:
  step = workdir / "checkpoints" / "2"
  return sorted(p.relative_to(step).as_posix() for p in step.rglob("*") if p.is_file())


def test_a_step_as_it_was_saved_is_fine(workdir):
  check_files(workdir / "checkpoints" / "2")
  assert set(METADATA) <= set(names(workdir))


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "a folder"])
def test_no_file_of_a_step_may_be_something_else(kind, workdir):
  step = workdir / "checkpoints" / "2"
  for name in names(workdir):
    with in_place_of(step / name, kind), pytest.raises(Damaged) as damage:
      check_files(step)
    assert name in str(damage.value) or name.rpartition("/")[2] in str(damage.value)
  check_files(step)


@pytest.mark.parametrize("kind", [kind for kind in STRANGE if kind not in NO_FILES] + ["a folder"])
@pytest.mark.parametrize("name", METADATA[:2])
def test_metadata_has_to_be_what_orbax_parses(name, kind, workdir):
  step = workdir / "checkpoints" / "2"
  with in_place_of(step / name, kind), pytest.raises(Damaged, match=name.rpartition("/")[2]):
    check_files(step)


def test_a_huge_index_is_refused(workdir):
  step = workdir / "checkpoints" / "2"
  with in_place_of(step / METADATA[2], "a huge file"), pytest.raises(Damaged, match="64 MiB"):
    check_files(step)


def test_a_step_that_is_gone_is_damage(tmp_path):
  with pytest.raises(Damaged, match="cannot be read"):
    check_files(tmp_path / "7")


@pytest.mark.parametrize("kind", ["a pipe", "a device without an end", "brackets", "a huge file"])
def test_the_step_before_is_taken(kind, workdir):
  """Also to open the folder is to look at the metadata of all steps, were Orbax let do so."""
  step = workdir / "checkpoints" / "2"
  for name in (*METADATA, "meta/metadata", "config/metadata"):
    if name == METADATA[2] and kind == "brackets":
      continue  # TensorStore's own format, which it checks
    with in_place_of(step / name, kind), no_hang():
      with Checkpoints(workdir, read_only=True) as checkpoints:
        assert checkpoints.steps() == [2, 1]
        with pytest.raises(Damaged):
          checkpoints.arrays(2)
        assert checkpoints.arrays(1)["params"]["kernel"].shape == (3, 4)


def test_a_trainer_sets_it_aside_and_writes_through_no_link(workdir, tmp_path):
  step, mine = workdir / "checkpoints" / "2", tmp_path / "mine"
  mine.write_text("mine")
  (step / "reason.txt").symlink_to(mine)
  with no_hang(), Checkpoints(workdir) as checkpoints:
    assert int(checkpoints.restore(STATE)["step"]) == 1
    assert checkpoints.steps() == [1]
  assert mine.read_text() == "mine"
  assert "is a link to" in (workdir / "quarantine" / "STEP-2" / "reason.txt").read_text()


def test_all_kinds_are_tried():
  assert len(STRANGE) > len(NO_FILES) > 5
