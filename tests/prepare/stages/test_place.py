"""A dataset is there whole or not at all, and writers take turns."""

import threading
import time
from pathlib import Path

import pytest
import tiny_datasets

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.prepare.stages.place import folder_of, is_complete, sole_writer


def write_some(data_dir: Path) -> None:
  tiny_datasets.prepare("some", data_dir, count=9)


def test_a_folder_is_whole_when_its_metadata_is_there(tmp_path):
  assert not is_complete(folder_of("some", tmp_path))
  write_some(tmp_path)
  assert is_complete(folder_of("some", tmp_path))


def test_writers_take_turns(tmp_path, caplog):
  with sole_writer(tmp_path / "some"):
    second = threading.Thread(target=write_some, args=(tmp_path,))
    second.start()
    while "waiting for it" not in caplog.text:
      time.sleep(0.005)
    assert not is_complete(folder_of("some", tmp_path))
  second.join()
  assert len(PreparedSplit("some", "train", tmp_path)) == 9


def test_a_place_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="--data_dir: cannot write '.*file/some/1.0.0'"):
    write_some(tmp_path / "file")
