"""A workdir that cannot be written.

Said in one line, before anything is compiled or trained.
"""

import os
import time

import binaries
import mounts
import pytest


@pytest.fixture
def no_compiling(monkeypatch):
  """Fails the test where a step is compiled."""

  def refuse(*_):
    raise AssertionError("compiled, and only then looked at the folder")

  monkeypatch.setattr("pretrainjax.train.parallel.Parallel.program", refuse)


def refused(ended, *parts: str) -> None:
  assert ended.status == 2, ended
  (line,) = ended.errors
  for part in ("pretrain: error: --workdir: ", *parts):
    assert part in line, line


@pytest.mark.slow
def test_a_file_in_the_way(capsys, finished, tmp_path, no_compiling, trial):
  (tmp_path / "run").write_text("mine")
  start = time.monotonic()
  refused(binaries.call(capsys, "pretrain", *finished.command(tmp_path / "run")), "File exists")
  assert (tmp_path / "run").read_text() == "mine"
  trial(seconds=time.monotonic() - start)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["", "checkpoints"])
def test_a_read_only_disk(part, capsys, finished, tmp_path, no_compiling, trial):
  start = time.monotonic()
  with mounts.disk(tmp_path / "run" / part, "ro"):
    ended = binaries.call(capsys, "pretrain", *finished.command(tmp_path / "run"))
    refused(ended, "cannot write to", "Read-only file system")
  trial(seconds=time.monotonic() - start)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(capsys, finished, tmp_path, no_compiling, trial):
  (tmp_path / "run").mkdir(mode=0o500)
  start = time.monotonic()
  refused(binaries.call(capsys, "pretrain", *finished.command(tmp_path / "run")), "Permission")
  trial(seconds=time.monotonic() - start)


@pytest.mark.slow
def test_two_processes(finished, tmp_path, trial):
  start = time.monotonic()
  with mounts.disk(tmp_path / "run" / "checkpoints", "ro"):
    command = finished.command(tmp_path / "run")
    ended = binaries.finish_all(binaries.start_many("pretrain", *command, processes=2))
  assert 2 in [e.status for e in ended] and not {0, 1} & {e.status for e in ended}, ended
  said = [line for e in ended for line in e.errors if "pretrain: error: --workdir: " in line]
  assert said and all("Read-only file system" in line for line in said)
  trial(seconds=time.monotonic() - start)
