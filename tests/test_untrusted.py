"""What a stranger wrote is opened in one place: whatever it is, it ends in bytes or in one line."""

import ast
import functools
import json
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from strange_files import NO_FILES, STRANGE

from pretrainjax.untrusted import (
  BadFile,
  is_inside,
  open_file,
  parse_json,
  read_bytes,
  read_json,
  read_lines,
  read_text,
  replace,
)

PACKAGE = Path(__file__).parents[1] / "pretrainjax"
# Calls that read a path, by the name of what is called. `open_file` and its like are ours.
READERS = {
  *("open", "read_text", "read_bytes", "fromfile", "memmap", "open_memmap", "loadtxt"),
  *("ZipFile", "TarFile", "ParquetFile", "read_table", "from_file", "builder_from_directory"),
  *("imread", "safe_open", "load_file", "copyfile", "copytree", "np.load", "json.load"),
  "sqlite3.connect",
}
# Calls of these names that read no path of a stranger: what they are, and how often they occur.
ALLOWED = {
  "untrusted.py": {"os.open": 1, "open": 1},  # the latter to write
  # Our own source.
  "config/shipped.py": {"file.read_text": 1},
  "config/command.py": {"copy.open": 1, "source.read_bytes": 1},
  "workdir/provenance.py": {"path.read_bytes": 1},
  # The kernel's files, by their names.
  "process/backend.py": {"Path('/proc/cpuinfo').read_text": 1, "library.open": 1},  # and jaxlib
  "train/room.py": {"path.read_text": 1},  # limits of control groups
  "process/ending.py": {"open": 1, "os.open": 1},  # /dev/null
  "workdir/lock.py": {
    "Path('/proc/sys/kernel/random/boot_id').read_text": 1,
    "Path(f'/proc/{pid}/stat').read_text": 1,
    "os.open": 3,  # to write, and only where there is no file yet
  },
  # Appended to or written.
  "train/tracking.py": {"path.open": 1, "self._path.with_name(_ROLLED_BACK).open": 1},
  "workdir/json_lines.py": {"path.open": 1},
  "evaluators/results.py": {"os.open": 1},
  "predict/feature_file.py": {"path.open": 1},
  "predict/class_file.py": {"path.open": 2},
  "predict/answer.py": {"open": 1},
  "predict/recommended_file.py": {"path.open": 1},
  "convert/safetensors.py": {"path.open": 1},  # to write, and only where there is no file yet
  "generation/arpa.py": {"open": 1},  # likewise
  "export/write.py": {"os.open": 1},  # a folder of our own, to be synchronized
  "predict/embed.py": {
    "np.lib.format.open_memmap": 1,
  },
  "predict/parts.py": {"np.load": 1, "zipfile.ZipFile": 1},  # of an open file
  "benchmark/compiled.py": {"found[-1].read_text": 1},  # that this process made XLA write
  # What a run of `prepare` left in a folder of its own.
  "prepare/job.py": {"open": 1, "job.source.open": 1},
  "prepare/stages/appended.py": {"open": 1},
  "prepare/stages/place.py": {"open": 1},
  "prepare/stages/journal.py": {"sqlite3.connect": 1},
  "prepare/files/walk.py": {"sqlite3.connect": 1},
  "prepare/audio/transcripts.py": {"open": 2},
  "prepare/items/ids.py": {"np.fromfile": 1, "(folder / f'{name}.letters').read_bytes": 1},
  "prepare/items/log.py": {"np.load": 1},
  "prepare/items/sorting.py": {"open": 3, "np.fromfile": 3},
  "prepare/items/sets/movielens.py": {"_log(folder, self.name).open": 1},  # no file
  "prepare/text/encode.py": {"open": 3},
  "prepare/text/fill.py": {"open": 2},
  "prepare/text/preparation.py": {"open": 1},
  "prepare/image/preparation.py": {"open": 1},
  "prepare/audio/preparation.py": {"open": 1},
  "prepare/audio/folder.py": {"sqlite3.connect": 1},  # a database without a file
  "prepare/audio/metadata.py": {"sqlite3.connect": 1},  # likewise
  # What `export --check` has just written.
  "export/reload.py": {
    "(folder / 'signature.json').read_text": 1,
    "(folder / signature['program']).read_bytes": 1,
    "np.load": 1,
    "np.memmap": 1,
  },
  "export/check_program.py": {"np.load": 1},
  "export/timm.py": {"(folder / 'config.json').read_text": 1, "files.load_file": 1},
  # Of bytes, or of an open file.
  "data/decode.py": {"PIL.Image.open": 1},
  "prepare/files/archive.py": {"tarfile.open": 1},
  "prepare/files/wheels.py": {"zipfile.ZipFile": 1, "archive.open": 1},
  # Opened by `open_file` just before, for its footer.
  "data/records.py": {"parquet.ParquetFile": 1},
  # Whose folder was looked at as a whole.
  "data/dataset_folder.py": {"tfds.builder_from_directory": 1},
}


def modules() -> list[str]:
  """Paths below the package, "train/step.py"."""
  return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


@functools.cache
def reads(module: str) -> list[tuple[int, str]]:
  """The calls in a module that may read a path, (line, "path.open")."""
  return list(_reads(module))


def _reads(module: str) -> Iterator[tuple[int, str]]:
  for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
    if isinstance(node, ast.Call):
      name = ast.unparse(node.func)
      is_ours = name in ("read_text", "read_bytes")
      if not is_ours and {name, name.split(".")[-1]} & READERS:
        yield node.lineno, name


def test_nothing_else_opens_what_a_stranger_wrote():
  """Use `pretrainjax.untrusted`; a call that reads no such path is named in ALLOWED."""
  problems = []
  for module in modules():
    counts: dict[str, int] = {}
    for line, name in reads(module):
      counts[name] = counts.get(name, 0) + 1
      if counts[name] > ALLOWED.get(module, {}).get(name, 0):
        problems.append(f"pretrainjax/{module}:{line}: {name}(...) opens a path")
  assert not problems, "\n".join(["", *problems])


def test_the_list_of_those_allowed_is_true():
  for module, calls in ALLOWED.items():
    found = [name for _, name in reads(module)]
    assert {name: found.count(name) for name in calls} == calls, module


# --- the opener ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_of_the_folder_is_refused_at_once(kind, tmp_path):
  path, start = tmp_path / "x", time.monotonic()
  STRANGE[kind](path)
  for read in (read_bytes, read_text, read_json) if kind in NO_FILES else (read_json,):
    with pytest.raises(BadFile) as refusal:
      read(path, limit=1000, inside=tmp_path)
    assert str(refusal.value) == f"{path}: {refusal.value.reason}" and refusal.value.reason
  assert time.monotonic() - start < 1


def test_limits_are_of_what_is_read_and_not_of_what_is_told(tmp_path):
  path = tmp_path / "x"
  path.write_bytes(b"1" * 1000)
  assert read_bytes(path, limit=1000) == b"1" * 1000
  with pytest.raises(BadFile, match="has more than 999 bytes"):
    read_bytes(path, limit=999)
  assert os.stat("/proc/self/mounts").st_size == 0 and read_bytes(
    "/proc/self/mounts", limit=1 << 20
  )
  with pytest.raises(BadFile, match="has more than 3 bytes"):
    read_bytes("/proc/self/mounts", limit=3)


def test_a_file_that_waits_for_more_is_not_waited_for(tmp_path, monkeypatch):
  """/proc/kmsg is a regular file of size 0, whose reader waits for the kernel's next line."""
  path = tmp_path / "x"
  path.write_bytes(b"")

  def not_yet(handle, size):
    raise BlockingIOError(11, "Resource temporarily unavailable")

  monkeypatch.setattr(os, "read", not_yet)
  with pytest.raises(BadFile, match="cannot be read .Resource temporarily"):
    read_bytes(path, limit=10)


def test_links_within_the_folder_are_followed_and_others_where_nothing_is_said(tmp_path):
  inner = tmp_path / "run"
  inner.mkdir()
  (inner / "real").write_text("{}")
  (inner / "link").symlink_to("real")
  (tmp_path / "same").symlink_to(inner)
  (tmp_path / "other").write_text("[]")
  (inner / "out").symlink_to("../other")
  assert read_json(inner / "link", inside=inner) == {}
  assert read_json(tmp_path / "same" / "link", inside=tmp_path / "same") == {}
  assert read_json(inner / "out") == []
  for path in (inner / "out", inner / ".." / "other", tmp_path / "same" / "out"):
    with pytest.raises(BadFile, match="leads out of"):
      read_json(path, inside=inner)
  assert is_inside(inner / "real", inner) and not is_inside(tmp_path / "run2", inner)


def test_streams_are_of_regular_files_too(tmp_path):
  (tmp_path / "x").write_bytes(b"ab\ncd")
  with open_file(tmp_path / "x") as file:
    assert list(file) == [b"ab\n", b"cd"]
  os.mkfifo(tmp_path / "pipe")
  with pytest.raises(BadFile, match="is no regular file"):
    open_file(tmp_path / "pipe")
  with pytest.raises(FileNotFoundError):
    open_file(tmp_path / "none")


@pytest.mark.parametrize(
  ("data", "said"),
  [
    (b"", "is no JSON (Expecting value"),
    (b"\xff\xfe", "is no JSON ("),
    (b"[" * 100_000, "is no JSON (more than 64 levels)"),
    (b"[" * 66 + b"]" * 66, "is no JSON (more than 64 levels)"),
    (b'{"a":' * 900 + b"1" + b"}" * 900, "is no JSON (more than 64 levels)"),
    (b"9" * 5000, "is no JSON (Exceeds the limit"),
    (b"{'a': 1}", "is no JSON (Expecting property name"),
  ],
)
def test_whatever_is_no_json_is_one_error(data, said, tmp_path):
  (tmp_path / "x").write_bytes(data)
  with pytest.raises(BadFile) as refusal:
    read_json(tmp_path / "x")
  assert said in str(refusal.value) and str(refusal.value).isprintable()


def test_json_is_read_as_it_stands():
  value = {"a": [1, 2.5, None, {"b": "\u00e9"}], "c": {}}
  assert parse_json(json.dumps(value)) == value
  assert parse_json("[" * 60 + "]" * 60)


def test_names_that_are_none_are_refused(tmp_path):
  for name in ("a\0b", "x" * 5000):
    with pytest.raises(BadFile) as refusal:
      read_bytes(tmp_path / name, limit=10)
    assert str(refusal.value).isprintable()


def test_the_error_goes_from_process_to_process():
  error = pickle.loads(pickle.dumps(BadFile("a/b", "is no regular file")))
  assert error.reason == "is no regular file" and str(error) == "a/b: is no regular file"


def test_a_file_is_replaced_as_a_whole_and_no_link_is_followed(tmp_path):
  (tmp_path / "mine").write_text("mine")
  path = tmp_path / "x.json"
  path.symlink_to("mine")
  (tmp_path / "x.json.tmp").symlink_to("mine")  # as a run's folder of a stranger may hold it
  for content in ("\u00e9", b"\xff"):
    replace(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
  assert (tmp_path / "mine").read_text() == "mine"
  assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "x.json"]


def test_lines_are_read_whatever_their_bytes(tmp_path):
  path = tmp_path / "metrics.jsonl"
  path.write_bytes(b"{}\n\xff\xfe")
  assert read_lines(path) == [b"{}\n", b"\xff\xfe"]
