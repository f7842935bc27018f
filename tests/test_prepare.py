"""The prepare binary: what it writes, reports, refuses and leaves alone."""

import gzip
import json
import shutil
import struct

import cv2
import numpy as np
import pytest

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.prepare.__main__ import main
from pretrainjax.prepare.config import default_config
from pretrainjax.prepare.image.sets import fashion_mnist
from pretrainjax.prepare.run import prepare


def _folder(root, *, broken=0):
  for label in ("a", "b"):
    (root / label).mkdir(parents=True)
    for i in range(10):
      value = np.full((4, 4, 1), 20 * i + (label == "b"), np.uint8)
      cv2.imwrite(str(root / label / f"{i}.png"), value)
  for i in range(broken):
    (root / "a" / f"broken{i}.jpg").write_bytes(b"\xff\xd8\xff" + b"x" * 40)
  return root


def _prepare(tmp_path, *flags):
  return main(["image_folder", "--name=pets", f"--data_dir={tmp_path / 'data'}", *flags])


def test_a_folder_becomes_a_dataset_with_a_report(tmp_path, capsys):
  root = _folder(tmp_path / "raw", broken=1)
  assert _prepare(tmp_path, f"--source={root}", "--config.max_dropped=0.1") == 0
  report = json.loads((tmp_path / "data/pets/1.0.0/prepared.json").read_text())
  assert report["written"] == {"train": 18, "test": 2}
  assert report["dropped"] == {"not decodable": 1}
  assert report["duplicates_between_splits"] == []
  assert "1 not decodable: a/broken0.jpg" in capsys.readouterr().out
  source = PreparedSplit("pets", "train", tmp_path / "data")
  assert (len(source), source.class_names) == (18, ("a", "b"))
  assert _prepare(tmp_path, f"--source={root}") == 0
  assert "is there already" in capsys.readouterr().out


def test_too_many_broken_files_end_it_and_nothing_is_written(tmp_path, capsys):
  root = _folder(tmp_path / "raw", broken=3)
  assert _prepare(tmp_path, f"--source={root}") == 2
  error = capsys.readouterr().err.strip().splitlines()[-1]
  assert "3 of 23 images cannot be decoded" in error and "a/broken0.jpg" in error
  assert not (tmp_path / "data" / "pets" / "1.0.0").exists()


def test_duplicates_between_splits_are_reported_and_dropped_on_demand(tmp_path):
  for split in ("train", "test"):
    _folder(tmp_path / "raw" / split)
  root = tmp_path / "raw"
  cv2.imwrite(str(root / "train/a/new.png"), np.full((4, 4, 1), 255, np.uint8))
  assert _prepare(tmp_path, f"--source={root}", "--config.drop_duplicates=true") == 0
  report = json.loads((tmp_path / "data/pets/1.0.0/prepared.json").read_text())
  assert report["written"] == {"train": 1, "test": 20}
  assert len(report["duplicates_between_splits"]) == 20


THEIRS = """
import contextlib, dataclasses
import numpy as np
from pretrainjax.prepare.image.example import array_corpus
from pretrainjax.prepare.image.preparation import ImagePreparation


@dataclasses.dataclass(frozen=True)
class Squares:
  count: int = 5
  name = "squares"
  preparation = ImagePreparation(drop_duplicates=True)

  @contextlib.contextmanager
  def open(self, data_dir):
    images = np.arange(self.count * 4, dtype=np.uint8).reshape(-1, 2, 2, 1)
    labels = np.arange(self.count) % 2
    yield array_corpus({"train": (images, labels)}, class_names=("a", "b"), origin="drawn")
"""


def test_a_source_of_another_package(tmp_path, monkeypatch, capsys):
  (tmp_path / "theirlab").mkdir()
  (tmp_path / "theirlab" / "draw.py").write_text(THEIRS)
  monkeypatch.syspath_prepend(tmp_path)
  flags = [f"--data_dir={tmp_path / 'data'}", "--config.source.count=7"]
  assert main(["theirlab.draw:Squares", *flags]) == 0
  assert len(PreparedSplit("squares", "train", tmp_path / "data")) == 7
  assert main(["theirlab.draw:Squares", *flags, "--config.drop_duplicates=false"]) == 2
  assert "was prepared with drop_duplicates=True, found False" in capsys.readouterr().err
  assert main(["theirlab.draw:Squares", *flags, "--config.source.cuont=7"]) == 2
  assert "did you mean" in capsys.readouterr().err
  config = default_config("theirlab.draw:Squares")
  config.data_dir = str(tmp_path / "other")
  with pytest.raises(UserError, match="'theirlab.draw:Squares'"):  # Python says whom it trusts
    prepare(config)
  assert prepare(config, allow=("theirlab",)) == tmp_path / "other/squares/1.0.0"
  assert main(["theirlab.draw:Circles", *flags]) == 2
  assert "'theirlab.draw' has no class 'Circles'" in capsys.readouterr().err


def test_digits(tmp_path):
  pytest.importorskip("sklearn")
  assert main(["digits", f"--data_dir={tmp_path}"]) == 0
  source = PreparedSplit("digits", "train", tmp_path)
  assert (len(source), source.shape("image")) == (1438, (8, 8, 1))


def test_fashion_mnist_from_a_folder(tmp_path, monkeypatch):
  monkeypatch.setattr(fashion_mnist, "_COUNTS", {"train": ("train", 12), "test": ("t10k", 4)})
  rng = np.random.default_rng(0)
  for stem, count in (("train", 12), ("t10k", 4)):
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 10
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
      header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
      path = tmp_path / "raw" / f"{stem}-{kind}-ubyte.gz"
      path.parent.mkdir(exist_ok=True)
      path.write_bytes(gzip.compress(header + array.tobytes()))
  flags = [f"--data_dir={tmp_path / 'data'}", f"--source={tmp_path / 'raw'}"]
  assert main(["fashion_mnist", *flags]) == 0
  source = PreparedSplit("fashion_mnist", "train", tmp_path / "data")
  assert (len(source), source.shape("image"), len(source.class_names)) == (12, (28, 28, 1), 10)


def test_fallback_is_said_aloud(tmp_path, capsys):
  pytest.importorskip("sklearn")
  flags = [f"--data_dir={tmp_path / 'data'}", f"--source={tmp_path / 'none'}"]
  assert main(["fashion_mnist", *flags]) == 2
  assert "Fashion-MNIST was not found; tried --source=" in capsys.readouterr().err
  assert main(["fashion_mnist", *flags, "--fallback=digits"]) == 0
  assert "FALLING BACK to digits" in capsys.readouterr().out
  assert (tmp_path / "data/digits/1.0.0/dataset_info.json").is_file()


def test_mistakes(tmp_path, capsys):
  assert main(["fashion_mnst"]) == 2
  assert "did you mean 'fashion_mnist'" in capsys.readouterr().err
  assert main(["digits", "--name=x"]) == 2
  assert "'digits' takes no --name" in capsys.readouterr().err
  assert main([]) == 2


@pytest.mark.slow
def test_apt_without_root(tmp_path):
  if shutil.which("apt-get") is None:
    pytest.skip("no apt-get here")
  folder = fashion_mnist.from_apt(tmp_path)
  assert sorted(p.name for p in folder.iterdir()) == sorted(fashion_mnist.FILES)


def test_another_folder_under_the_same_name_is_refused(tmp_path, capsys):
  assert _prepare(tmp_path, f"--source={_folder(tmp_path / 'raw')}") == 0
  assert _prepare(tmp_path, f"--source={_folder(tmp_path / 'other')}") == 2
  error = capsys.readouterr().err.strip().splitlines()[-1]
  assert f"was prepared with root='{tmp_path / 'raw'}', found '{tmp_path / 'other'}'" in error
  assert _prepare(tmp_path, f"--source={tmp_path / 'raw'}", "--config.source.seed=1") == 2
  assert "was prepared with seed=0, found 1" in capsys.readouterr().err


def _texts(root, count=30):
  root.mkdir(parents=True)
  rng = np.random.default_rng(0)
  for i in range(count):
    text = " ".join(f"word{w}" for w in rng.integers(0, 200, 40))
    (root / f"{i:02d}.txt").write_text(text)
  (root / "copy.txt").write_text((root / "00.txt").read_text())
  return root


def _prepare_text(tmp_path, *flags, name="books"):
  small = ("--config.tokenizer.vocab_size=400", "--config.form.length=32")
  data_dir = f"--data_dir={tmp_path / 'data'}"
  return main(["text", f"--name={name}", data_dir, *small, *flags])


def test_a_folder_of_texts_becomes_a_dataset_with_a_report(tmp_path, capsys):
  root = _texts(tmp_path / "raw")
  (root / "broken.txt").write_bytes(b"\xff\xfe\xff")
  assert _prepare_text(tmp_path, f"--source={root}") == 2
  assert "1 of 32 records cannot be read, expected at most 1.0%" in capsys.readouterr().err
  flags = [f"--source={root}", "--config.max_dropped=0.1", "--config.holdout.test_fraction=0.2"]
  assert _prepare_text(tmp_path, *flags) == 0
  out = capsys.readouterr().out
  for part in ("1 duplicate (3.1% of all): copy.txt", "1 not UTF-16", "(3.1% of all): broken.txt"):
    assert part in out
  report = json.loads((tmp_path / "data/books/1.0.0/prepared.json").read_text())
  assert (report["form"], report["length"], report["vocab_size"]) == ("blocks", 32, 400)
  assert sum(counts["documents"] for counts in report["splits"].values()) == 30
  assert _prepare_text(tmp_path, *flags) == 0
  assert "is there already" in capsys.readouterr().out


@pytest.mark.repeat
def test_texts_prepared_otherwise_under_the_same_name_are_refused(tmp_path, capsys):
  flags = [f"--source={_texts(tmp_path / 'raw')}", "--config.holdout.test_fraction=0.2"]
  assert _prepare_text(tmp_path, *flags) == 0
  for flag, message in (
    ("--config.form.length=64", "was prepared with form.length=32, found 64"),
    ("--config.holdout.seed=1", "was prepared with holdout.seed=0, found 1"),
    ("--config.tokenizer.kind=wordpiece", "was prepared with tokenizer.kind='bpe'"),
    ("--config.source.fields.text=body", "was prepared with fields.text='text', found 'body'"),
    (f"--source={_texts(tmp_path / 'other')}", "was prepared with root="),
  ):
    assert _prepare_text(tmp_path, *flags, flag) == 2
    assert message in capsys.readouterr().err, flag
  tokenizer = tmp_path / "data/books/1.0.0/tokenizer.json"
  path = f"--config.tokenizer.path={tokenizer}"
  assert _prepare_text(tmp_path, *flags, path, name="others") == 0
  assert _prepare_text(tmp_path, *flags, name="others") == 2
  assert "was prepared with tokenizer.trained=False, found True" in capsys.readouterr().err
  moved = tmp_path / "moved.json"
  moved.write_text(tokenizer.read_text())
  assert _prepare_text(tmp_path, *flags, f"--config.tokenizer.path={moved}", name="others") == 0
  assert _prepare_text(tmp_path, *flags, path) == 2  # trained here, though it is the same one


def test_mistakes_with_texts(tmp_path, capsys):
  root = _texts(tmp_path / "raw", count=2)
  for flags, message in (
    (["--source=nowhere"], "--source: 'nowhere' is no folder and no file"),
    (["--config.form.kind=block"], "config.form.kind: found 'block'"),
    (["--config.form.length=2"], "--config.form.length: found '2' (int), expected in [3, 65535]"),
    (
      [f"--source={root}", "--config.tokenizer.path=gone.json"],
      "--config.tokenizer.path: 'gone.json' cannot be read",
    ),
    (["--fallback=digits", "--source=nowhere"], "is no folder and no file"),
  ):
    assert _prepare_text(tmp_path, *flags) == 2
    assert message in capsys.readouterr().err
  assert not (tmp_path / "data" / "digits").exists()
