"""A dataset is there whole or not at all."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pretrainjax.data.image import decode
from pretrainjax.data.source import Source
from pretrainjax.errors import UserError
from pretrainjax.prepare.image.builders import CollectedBuilder
from pretrainjax.prepare.image.collected import Collected, array_entries
from pretrainjax.prepare.stages import write as writing
from pretrainjax.prepare.stages.write import folder_of, is_complete, write

KILLED_WHILE_WRITING = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from prepare.stages import test_write
from pretrainjax.prepare.image.collected import Entry
encoded, count = Entry.encoded, iter(range(10**6))
def dying(entry):
  if next(count) == 5:
    os.kill(os.getpid(), signal.SIGKILL)
  return encoded(entry)
Entry.encoded = dying
test_write.write_some(Path({data_dir!r}))
"""


class Builder(CollectedBuilder, skip_registration=True):
  name = "some"


def collected(count: int = 9, channels: int = 1) -> Collected:
  images = np.arange(count * 12 * channels, dtype=np.uint8).reshape(count, 3, 4, channels)
  entries = array_entries(images, np.arange(count) % 2, prefix="train")
  return Collected({"train": entries}, ("a", "b"), (3, 4, channels), origin="a test")


def write_some(data_dir: Path, **changes) -> Path:
  options = {"data_dir": data_dir, "num_shards": None, "report": {"x": 1}} | changes
  return write(Builder, collected(), **options)


def test_the_dataset_and_its_report(tmp_path):
  folder = write_some(tmp_path, num_shards=3)
  assert folder == folder_of("some", tmp_path) and is_complete(folder)
  assert len(list(folder.glob("*.array_record-*"))) == 3
  assert json.loads((folder / writing.REPORT).read_text()) == {"x": 1}
  assert len(Source("some", "train", tmp_path)) == 9


def test_colours_are_written_as_they_are(tmp_path):
  wanted = collected(channels=3)
  write(Builder, wanted, data_dir=tmp_path, num_shards=None, report={})
  source = Source("some", "train", tmp_path)
  found = {
    decode(record["image"].bytes_list.value[0]).tobytes() for record in source.records(range(9))
  }
  assert found == {entry.image.tobytes() for entry in wanted.splits["train"]}


def test_a_killed_writer_leaves_nothing_that_looks_whole(tmp_path):
  root = Path(__file__).parents[3]
  program = KILLED_WHILE_WRITING.format(tests=str(root / "tests"), data_dir=str(tmp_path))
  environment = os.environ | {"PYTHONPATH": str(root)}
  ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
  assert ended.returncode == -9, ended.stderr.decode()
  left_over = list((tmp_path / "some").glob("incomplete.*"))
  assert len(left_over) == 1 and not is_complete(folder_of("some", tmp_path))
  with pytest.raises(UserError):
    len(Source("some", "train", tmp_path))
  write_some(tmp_path)  # the lock died with its holder
  assert not left_over[0].exists() and len(Source("some", "train", tmp_path)) == 9


def test_writers_take_turns(tmp_path, caplog):
  with writing.sole_writer(tmp_path / "some"):
    second = threading.Thread(target=write_some, args=(tmp_path,))
    second.start()
    while "waiting for it" not in caplog.text:
      time.sleep(0.005)
    assert not is_complete(folder_of("some", tmp_path))
  second.join()
  assert len(Source("some", "train", tmp_path)) == 9


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="--data_dir: cannot write '.*file/some/1.0.0'"):
    write_some(tmp_path / "file")
