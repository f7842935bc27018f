"""Archives of strangers write nothing but plain files, and those where they belong."""

import gzip
import io
import tarfile
import tracemalloc

import pytest

from pretrainjax.prepare.files import archive
from pretrainjax.prepare.files.archive import unpack


def member(name: str, data: bytes = b"x", **fields) -> tuple[tarfile.TarInfo, bytes]:
  info = tarfile.TarInfo(name)
  info.size = len(data)
  for field, value in fields.items():
    setattr(info, field, value)
  return info, data


def packed(path, *members):
  with tarfile.open(path, "w:gz") as opened:
    for info, data in members:
      opened.addfile(info, io.BytesIO(data))
  return path


def test_files_and_folders_are_unpacked(tmp_path):
  folder = member("a/b", b"", type=tarfile.DIRTYPE)
  unpack(packed(tmp_path / "x.tgz", member("a/one"), folder), tmp_path / "out")
  assert (tmp_path / "out" / "a" / "one").read_bytes() == b"x"
  assert (tmp_path / "out" / "a" / "b").is_dir()


EVIL = {
  "up": member("../evil"),
  "up later": member("a/../../evil"),
  "absolute": member("/tmp/pretrainjax_evil"),
  "link": member("a", b"", type=tarfile.SYMTYPE, linkname="/etc"),
  "link inside": member("a", b"", type=tarfile.SYMTYPE, linkname="b"),
  "hard link": member("a", b"", type=tarfile.LNKTYPE, linkname="../../evil"),
  "device": member("a", b"", type=tarfile.CHRTYPE),
  "pipe": member("a", b"", type=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("name", EVIL)
def test_what_leads_elsewhere_is_refused_before_anything_is_written(tmp_path, name):
  path = packed(tmp_path / "x.tgz", member("first"), EVIL[name])
  with pytest.raises(ValueError, match="holds "):
    unpack(path, tmp_path / "out")
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["file", "header"])
def test_bombs_are_not_unpacked(tmp_path, kind):
  path, zeros = tmp_path / "x.tgz", bytes(1 << 20)
  info = tarfile.TarInfo("a")
  info.size = 64 << 20
  if kind == "header":  # of the kind that is read as a whole
    info.type = tarfile.XHDTYPE
  with gzip.open(path, "wb", compresslevel=1) as file:
    file.write(info.tobuf())
    for _ in range(64):
      file.write(zeros)
  tracemalloc.start()
  try:
    with pytest.raises(ValueError, match="more than 4194304 bytes"):
      unpack(path, tmp_path / "out", max_bytes=4 << 20)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
  finally:
    tracemalloc.stop()


def test_many_files_are_too_many(tmp_path, monkeypatch):
  monkeypatch.setattr(archive, "_MAX_FILES", 3)
  with pytest.raises(ValueError, match="more than 3 files"):
    unpack(packed(tmp_path / "x.tgz", *(member(str(i)) for i in range(4))), tmp_path / "out")


@pytest.mark.parametrize("kept", [0, 20, -20])
def test_damage_is_said(tmp_path, kept):
  path = packed(tmp_path / "x.tgz", member("a", bytes(range(256)) * 100))
  path.write_bytes(path.read_bytes()[:kept])
  with pytest.raises(ValueError, match="cannot be unpacked"):
    unpack(path, tmp_path / "out")
