"""Other data under a run's name at a restart, and other code.

Other data are refused in a line with what to type, and nothing is changed; with the flag the run
goes on. Other code of the same version, and checkpoints that do not say, go on with a word.
"""

import hashlib
import json
import shutil
import time

import binaries
import numpy as np
import pytest
import synthetic
import tiny_datasets

from pretrainjax.prepare.image.example import array_corpus
from pretrainjax.workdir import provenance

pytestmark = pytest.mark.slow


@pytest.fixture
def resumed(finished, tmp_path, capsys):
  """`resumed(data_dir, *flags)`: how the run that was finished ends when it is started again."""
  workdir = finished.copy(tmp_path / "run")

  def start(data_dir, *flags) -> binaries.Ended:
    arguments = [a for a in finished.command(workdir, *flags) if not a.startswith("--data_dir")]
    return binaries.call(capsys, "pretrain", *arguments, f"--data_dir={data_dir}")

  start.workdir = workdir
  return start


def other_pixels(data_dir):
  """The same number of images of the same classes, of another seed."""
  rng = np.random.default_rng(1)
  splits = {
    split: (rng.integers(0, 256, (count, 28, 28, 1), np.uint8), np.arange(count) % 10)
    for split, count in synthetic.SIZES.items()
  }
  corpus = array_corpus(splits, class_names=tuple("0123456789"), origin="noise")
  tiny_datasets.write_corpus("fashion_mnist", data_dir, corpus)


def more_images(data_dir):
  synthetic.prepare("fashion_mnist", data_dir, sizes=synthetic.SIZES | {"train": 513})


def without_what_prepare_noted(data_dir):
  """As a set that tfds itself wrote; its files are others."""
  other_pixels(data_dir)
  next(data_dir.glob("*/*/prepared.json")).unlink()


def told(caplog, words: str) -> list[str]:
  """The warnings that hold these words."""
  lines = [record.getMessage() for record in caplog.records]
  return [line for line in lines if words in line]


@pytest.mark.parametrize("change", [other_pixels, more_images, without_what_prepare_noted])
def test_other_data_are_refused_unless_allowed(change, resumed, tmp_path, caplog, trial):
  change(tmp_path / "data")
  before = {p: p.read_bytes() for p in sorted(resumed.workdir.rglob("*")) if p.is_file()}
  start = time.monotonic()
  ended = resumed(tmp_path / "data")
  assert ended.status == 2 and "not the data that step 4 of " in ended.errors[-1], ended
  assert "--allow_data_change" in ended.errors[-1]
  trial(seconds=time.monotonic() - start)
  after = {p: p.read_bytes() for p in sorted(resumed.workdir.rglob("*")) if p.is_file()}
  assert before == after
  ended = resumed(tmp_path / "data", "--allow_data_change")
  assert ended.status == 0, ended.errors
  assert len(told(caplog, "going on with other data")) == 1


def test_the_same_data_elsewhere_are_the_same(resumed, data, tmp_path, caplog, trial):
  shutil.copytree(data, tmp_path / "elsewhere")
  ended = resumed(tmp_path / "elsewhere")
  assert ended.status == 0 and not told(caplog, "data"), ended.errors
  trial()


def test_other_code_is_told(resumed, data, monkeypatch, caplog, trial):
  monkeypatch.setattr(provenance, "source_digest", lambda: "0123456789abcdef")
  ended = resumed(data)
  assert ended.status == 0
  (line,) = told(caplog, "other code")
  assert "0123456789abcdef" in line
  trial()


def test_checkpoints_of_earlier_versions_go_on_with_a_word(resumed, data, caplog, trial):
  for path in resumed.workdir.glob("checkpoints/*/meta/metadata"):
    meta = json.loads(path.read_text())
    del meta["made_with"], meta["seal"]
    seal = hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(meta | {"seal": seal}))
  ended = resumed(data)
  assert ended.status == 0
  assert len(told(caplog, "does not say with which data and code")) == 1
  trial()
