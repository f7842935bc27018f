"""Whatever a folder of a stranger holds in place of its files ends in one line, and at once."""

import json
import os
import shutil
import socket

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_datasets
import tiny_texts
from ml_collections import ConfigDict
from rounds import no_hang
from strange_files import NO_FILES, STRANGE, in_place_of

from pretrainjax.checkpoint import manifest
from pretrainjax.checkpoint.encoder import load
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.data.dataset_folder import newest_version, open_builder
from pretrainjax.data.fingerprint import dataset_fingerprint
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.data.text_data import TextData
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.evaluators.results import append_results, read_results
from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.formats import Reader
from pretrainjax.report.curves import read_metrics
from pretrainjax.train.tracking import JsonlWriter
from pretrainjax.workdir import lock
from pretrainjax.workdir.claim import claim
from pretrainjax.workdir.json_lines import append, rows
from pretrainjax.workdir.tokenizer import keep_tokenizer

CONFIG = ConfigDict({"seed": 0})


def ends_in_a_line(call) -> None:
  """The call comes back, and says in one line what is wrong."""
  with no_hang(), pytest.raises(UserError) as refusal:
    call()
  assert str(refusal.value) and str(refusal.value).isprintable()


# --- a prepared dataset -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("images")
  tiny_datasets.prepare("shapes", data_dir, count=4)
  folder = newest_version("shapes", data_dir)
  first_record(folder)  # what is imported the first time takes longer than a reader may
  return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("texts")
  rows = [{"tokens": [tiny_texts.FIRST_ID + i]} for i in range(4)]
  tiny_texts.write("words", data_dir, {"train": rows})
  return newest_version("words", data_dir)


def first_record(folder):
  return PreparedSplit("shapes", "train", folder.parents[1]).records([0])


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_what_describes_a_dataset(name, kind, images):
  with in_place_of(images / name, kind):
    if os.path.exists(images / "dataset_info.json"):  # or there is no such dataset
      ends_in_a_line(lambda: open_builder(images, flag="--x"))
    ends_in_a_line(lambda: first_record(images))
    ends_in_a_line(lambda: dataset_fingerprint(images))


@pytest.mark.parametrize("kind", NO_FILES)
def test_class_names_and_files_that_nobody_asked_for(kind, images):
  if kind == "a folder":
    pytest.skip("folders may lie there")
  for name in ("label.labels.txt", "more.json", "notes"):
    with in_place_of(images / name, kind):
      ends_in_a_line(lambda: first_record(images))


@pytest.mark.parametrize("kind", NO_FILES)
def test_records(kind, images):
  name = next(path.name for path in images.glob("*train.array_record-*"))
  with in_place_of(images / name, kind):
    ends_in_a_line(lambda: first_record(images)) if kind != "a folder" else None
    if kind != "a folder":
      ends_in_a_line(lambda: dataset_fingerprint(images))


@pytest.mark.parametrize("kind", STRANGE)
def test_what_prepare_noted(kind, images):
  with in_place_of(images / "prepared.json", kind):
    ends_in_a_line(lambda: PreparedSplit("shapes", "train", images.parents[1]).prepared)
    ends_in_a_line(lambda: dataset_fingerprint(images))


@pytest.mark.parametrize("kind", STRANGE)
def test_the_tokenizer_of_a_dataset(kind, texts):
  data = TextData(datasets="words", data_dir=str(texts.parents[1]), batch_size=2, length=8)
  with in_place_of(texts / "tokenizer.json", kind):
    ends_in_a_line(lambda: data.tokenizer.vocab_size)


@pytest.mark.parametrize(
  ("key", "value"),
  [
    ("filepathTemplate", "../../other/{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"),
    ("filepathTemplate", "/etc/{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"),
    ("filepathTemplate", "a/{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"),
    ("filepath_template", "../x-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"),
    ("filepathTemplate", "..\\x"),
    ("filepathTemplate", "x\0y"),
    ("name", "../train"),
    ("name", "/train"),
  ],
)
def test_records_in_another_folder(key, value, images, tmp_path):
  folder = shutil.copytree(images, tmp_path / "shapes" / images.name)
  path = folder / "dataset_info.json"
  info = json.loads(path.read_text())
  for split in info["splits"]:
    split.pop("filepathTemplate", None)
    split[key] = value
  path.write_text(json.dumps(info))
  with pytest.raises(UserError, match="expected a name of files in its folder"):
    first_record(folder)


def test_records_in_another_folder_by_the_name_of_the_dataset(images, tmp_path):
  folder = shutil.copytree(images, tmp_path / "shapes" / images.name)
  path = folder / "dataset_info.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "../../x"}))
  ends_in_a_line(lambda: first_record(folder))


# --- the folder of a run ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  with Checkpoints(workdir) as checkpoints:
    checkpoints.save(1, {"params": {"kernel": jnp.zeros(3)}}, config=CONFIG)
  (workdir / "config.json").write_text("{}")
  return workdir


@pytest.fixture
def workdir(run, tmp_path):
  return shutil.copytree(run, tmp_path / "run")


@pytest.mark.parametrize("kind", STRANGE)
def test_the_config_of_a_run(kind, workdir):
  with in_place_of(workdir / "config.json", kind):
    ends_in_a_line(lambda: claim(workdir, CONFIG, allow_change=True))


@pytest.mark.parametrize("kind", STRANGE)
def test_the_manifest_of_a_run(kind, workdir):
  with in_place_of(workdir / manifest.NAME, kind):
    ends_in_a_line(lambda: load(workdir))


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "a/../../x"])
def test_a_manifest_that_lists_files_of_others(name, workdir):
  entry = {"bytes": 1, "sha256": "0" * 64}
  (workdir / manifest.NAME).write_text(json.dumps({"files": {name: entry}}))
  with pytest.raises(UserError, match="leads out of the folder"):
    manifest.verify(workdir)


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("item", ["meta", "config"])
def test_the_items_of_the_only_step(item, kind, workdir):
  path = workdir / "checkpoints" / "1" / item / "metadata"
  with in_place_of(path, kind):
    ends_in_a_line(lambda: load(workdir))


@pytest.mark.parametrize("kind", STRANGE)
def test_the_tokenizer_of_a_run(kind, workdir):
  class Data:
    tokenizer = tiny_texts.tokenizer()

  with in_place_of(workdir / "tokenizer.json", kind):
    ends_in_a_line(lambda: Tokenizer.load(workdir / "tokenizer.json", inside=workdir).vocab_size)
    ends_in_a_line(lambda: keep_tokenizer(workdir, Data(), allow_change=False))


@pytest.mark.parametrize("kind", [kind for kind in NO_FILES if kind != "a folder"])
def test_the_lines_of_a_run(kind, workdir):
  path = workdir / "metrics.jsonl"
  with in_place_of(path, kind):
    for call in (
      lambda: JsonlWriter(workdir),
      lambda: read_metrics(path),
      lambda: rows(path),
      lambda: append(path, {"a": 1}),
      lambda: read_results(path),
      lambda: append_results(path, []),
    ):
      ends_in_a_line(call)


@pytest.mark.parametrize("kind", [kind for kind in STRANGE if kind != "a folder"])
def test_the_lock_of_a_run_is_taken_over(kind, workdir, monkeypatch):
  monkeypatch.setattr(lock, "_WRITE_SECONDS", 0.1)
  with in_place_of(workdir / ".lock", kind), no_hang():
    lock.acquire(workdir, on_lost=pytest.fail).release()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_what_a_run_writes_goes_through_no_link(name, workdir, tmp_path):
  """A stranger's folder may hold links where files are written, and where drafts of them are."""

  class Data:
    tokenizer = tiny_texts.tokenizer()

  mine = tmp_path / "mine"
  mine.write_text("mine")
  probe = f".write_probe_{socket.gethostname()}_{os.getpid()}"
  (workdir / name).unlink(missing_ok=True)
  for draft in (f"{name}.tmp", name.replace(".json", ".tmp"), probe, f"{probe}.tmp"):
    (workdir / draft).symlink_to(mine)
  shutil.rmtree(workdir / "checkpoints")
  claim(workdir, CONFIG, allow_change=True)
  keep_tokenizer(workdir, Data(), allow_change=True)
  assert mine.read_text() == "mine" and not (workdir / name).is_symlink()


# --- raw data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".parquet"])
def test_raw_texts_that_became_a_pipe_since_they_were_listed(suffix, tmp_path):
  reader = Reader(Fields(), documents="file", part_characters=7, encoding="utf-8")
  path = tmp_path / f"a{suffix}"
  os.mkfifo(path)
  with no_hang():
    try:
      (item,) = reader.records(path, key="k", split=None)
      assert isinstance(item, Unreadable)  # which is counted
    except UserError as error:
      assert "is no regular file" in str(error)


def test_arrays_stay_what_they_were(workdir):
  """None of the above has touched the shared run."""
  with Checkpoints(workdir, read_only=True) as checkpoints:
    np.testing.assert_array_equal(checkpoints.arrays(1)["params"]["kernel"], np.zeros(3))
