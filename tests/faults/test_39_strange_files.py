"""Pipes, devices, huge files and links out of the folder in place of any file of a run or dataset.

A reader comes back at once: with the step before, or with one line.
"""

import shutil
import time

import jax.numpy as jnp
import pytest
import tiny_datasets
from ml_collections import ConfigDict
from rounds import no_hang
from strange_files import STRANGE, in_place_of

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.checkpoint.sealed import Damaged
from pretrainjax.data.dataset_folder import newest_version
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError

pytestmark = pytest.mark.slow
# Of these contents TensorStore and array_record find out by themselves.
OF_THEIR_OWN = ("brackets", "no text", "a long number", "nothing", "a huge file", "a folder")
METADATA = ("_METADATA", "_CHECKPOINT_METADATA", "metadata")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  with Checkpoints(workdir) as checkpoints:
    for step in (1, 2):
      checkpoints.save(step, {"kernel": jnp.arange(12.0)}, config=ConfigDict({"a": 1}))
  return workdir


@pytest.mark.parametrize("kind", STRANGE)
def test_any_file_of_a_step(kind, saved, tmp_path, trial):
  workdir = shutil.copytree(saved, tmp_path / "run")
  step = workdir / "checkpoints" / "2"
  for path in sorted(path for path in step.rglob("*") if path.is_file()):
    if kind in OF_THEIR_OWN and path.name not in METADATA:
      continue
    start = time.monotonic()
    with in_place_of(path, kind), no_hang(), Checkpoints(workdir, read_only=True) as checkpoints:
      with pytest.raises(Damaged):
        checkpoints.arrays(2)
      assert checkpoints.arrays(1)["kernel"].shape == (12,)
    trial(seconds=time.monotonic() - start)


@pytest.mark.parametrize("kind", STRANGE)
def test_any_file_of_a_dataset(kind, tmp_path, trial):
  tiny_datasets.prepare("shapes", tmp_path, count=4)
  folder = newest_version("shapes", tmp_path)
  PreparedSplit("shapes", "train", tmp_path).records([0])  # imports take their time
  for path in sorted(folder.iterdir()):
    if kind in OF_THEIR_OWN and path.suffix != ".json":
      continue
    start = time.monotonic()
    with in_place_of(path, kind), no_hang(), pytest.raises(UserError) as refusal:
      split = PreparedSplit("shapes", "train", tmp_path)
      assert split.records([0]) and split.prepared
    assert str(refusal.value).isprintable()
    trial(seconds=time.monotonic() - start)
