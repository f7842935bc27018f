"""A dataset of images is the same however often its making was stopped, and whole or not there."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.prepare import job as jobs
from pretrainjax.prepare.image import preparation as preparations
from pretrainjax.prepare.image.folder import Source
from pretrainjax.prepare.image.preparation import ImageCollector, ImagePreparation
from pretrainjax.prepare.image.table import ImageTable
from pretrainjax.prepare.job import Job, write_dataset
from pretrainjax.prepare.stages import collect, shards


def pictures(root: Path, count: int = 60) -> Path:
  """Three classes, every picture twice; one file that is none and one of another kind."""
  for i in range(count):
    path = root / "abc"[i % 3] / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((4, 4, 1), i // 2, np.uint8))
  (root / "b" / "broken.png").write_bytes(b"no picture")
  (root / "b" / "notes.txt").write_text("x")
  return root


def job(root: Path, *, drop_duplicates: bool = False, **changes) -> Job:
  source = Source(root=str(root), name="some", test_fraction=0.3)
  return Job(source, ImagePreparation(drop_duplicates), num_shards=3, max_dropped=0.5, **changes)


def write(made: Job, data_dir: Path) -> Path:
  return write_dataset(made, data_dir=data_dir, source_facts={"name": "some"})


def digests(folder: Path) -> dict[str, str]:
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


class Stop(Exception):
  """Stands for the end of the process."""


def stop_at(monkeypatch, module, name: str, count: int, *, late: bool) -> None:
  """Lets a function fail at its `count`-th call, before or after what it does."""
  original, calls = getattr(module, name), iter(range(10**6))

  def failing(*arguments, **options):
    last = next(calls) == count
    if last and not late:
      raise Stop
    result = original(*arguments, **options)
    if last:
      raise Stop
    return result

  monkeypatch.setattr(module, name, failing)


EVERYWHERE = [
  (ImageCollector, "take", 0, False),
  (ImageCollector, "take", 20, True),
  (ImageCollector, "take", 59, True),
  (ImageCollector, "drop", 0, True),
  (collect._Progress, "commit", 3, True),
  (ImageTable, "hold_out", 0, True),
  (ImageTable, "find_duplicates", 0, True),
  (ImageTable, "shuffle", 0, True),
  (preparations, "_report", 0, False),
  (shards, "ArrayRecordWriter", 1, True),
  (shards, "ArrayRecordWriter", 4, False),
  (jobs, "write_metadata", 0, True),
  (jobs.os, "rename", 0, False),
  (jobs.os, "rename", 0, True),
]


@pytest.mark.parametrize("drop_duplicates", [True, pytest.param(False, marks=pytest.mark.repeat)])
def test_a_run_that_is_stopped_anywhere_ends_with_the_same_bytes(
  tmp_path, monkeypatch, drop_duplicates
):
  monkeypatch.setattr(collect, "_EVERY", 7)
  made = job(pictures(tmp_path / "r"), drop_duplicates=drop_duplicates)
  wanted = digests(write(made, tmp_path / "once"))
  assert {"prepared.json", "dropped.jsonl"} < wanted.keys()
  for place, (module, name, count, late) in enumerate(EVERYWHERE):
    data_dir = tmp_path / str(place)
    with monkeypatch.context() as patch:
      stop_at(patch, module, name, count, late=late)
      with pytest.raises(Stop):
        write(made, data_dir)
    assert (data_dir / "some" / "1.0.0").exists() == (name == "rename" and late)
    assert digests(write(made, data_dir)) == wanted, (name, count, late)
    assert not (data_dir / "some" / jobs._WORK).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from prepare.image.test_preparation import *
take, calls = ImageCollector.take, iter(range(10**6))
def dying(self, example):
  if next(calls) == int(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGKILL)
  return take(self, example)
ImageCollector.take = dying
collect._EVERY = 7
write(job(Path(sys.argv[1]) / "r"), Path(sys.argv[1]) / "killed")
"""


def test_a_process_that_is_killed_again_and_again_leaves_nothing_that_looks_whole(tmp_path):
  made = job(pictures(tmp_path / "r"))
  wanted = digests(write(made, tmp_path / "once"))
  root = Path(__file__).parents[3]
  environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}"}
  for count in ("20", "9"):
    command = [sys.executable, "-c", KILLED, str(tmp_path), count]
    ended = subprocess.run(command, env=environment, capture_output=True)
    assert ended.returncode == -9, ended.stderr.decode()
    with pytest.raises(UserError):
      len(PreparedSplit("some", "train", tmp_path / "killed"))
  assert digests(write(made, tmp_path / "killed")) == wanted  # the lock died with its holder


def test_other_files_or_settings_are_begun_anew(tmp_path, monkeypatch, caplog):
  root = pictures(tmp_path / "r")
  for change in ("settings", "files"):
    with monkeypatch.context() as patch:
      stop_at(patch, jobs, "write_metadata", 0, late=False)
      with pytest.raises(Stop):
        write(job(root), tmp_path / change)
    if change == "files":
      cv2.imwrite(str(root / "a" / "new.png"), np.full((4, 4, 1), 200, np.uint8))
    made = job(root, drop_duplicates=change == "settings")
    folder = write(made, tmp_path / change)
    assert "beginning anew" in caplog.text
    assert digests(folder) == digests(write(made, tmp_path / f"{change} once"))
    caplog.clear()


def test_what_is_left_of_earlier_versions_goes(tmp_path):
  for name in ("incomplete.XYZ_1.0.0", "incomplete_text"):
    (tmp_path / "some" / name).mkdir(parents=True)
  write(job(pictures(tmp_path / "r")), tmp_path)
  left = {path.name for path in (tmp_path / "some").iterdir()}
  assert left == {"1.0.0", ".lock"}


def test_the_report_lists_the_first_and_files_list_all(tmp_path, monkeypatch):
  monkeypatch.setattr(preparations, "LISTED", 2)
  root = pictures(tmp_path / "r")
  for i in range(5):
    (root / "a" / f"bad{i}.png").write_bytes(b"x")
  folder = write(job(root), tmp_path)
  report = json.loads((folder / "prepared.json").read_text())
  assert report["dropped"] == {"not decodable": 6, "no image by its name": 1}
  assert len(report["dropped_files"]) == 2
  lines = [json.loads(line) for line in (folder / "dropped.jsonl").read_text().splitlines()]
  assert lines[:2] == report["dropped_files"] and len(lines) == 7
  assert ["b/notes.txt", "no image by its name"] in lines
  twice = (folder / "duplicates.jsonl").read_text().splitlines()
  assert len(twice) == report["num_duplicates_between_splits"] > 0


def test_training_images_that_all_stand_in_another_split(tmp_path):
  for split in ("train", "test"):
    path = tmp_path / "r" / split / "a" / "1.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), np.zeros((3, 3, 1), np.uint8))
  with pytest.raises(UserError, match="every training image is in another split too"):
    write(job(tmp_path / "r", drop_duplicates=True), tmp_path)
