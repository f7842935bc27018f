"""A prepared dataset that is another one under the same name has another fingerprint."""

import json
import shutil

import damage
import pytest
import tiny_datasets

from pretrainjax.data.dataset_folder import newest_version
from pretrainjax.data.fingerprint import dataset_fingerprint, difference
from pretrainjax.errors import UserError


def prepared(data_dir, **options):
  tiny_datasets.prepare("shapes", data_dir, **{"count": 40} | options)
  return newest_version("shapes", data_dir)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
  return prepared(tmp_path_factory.mktemp("data"))


@pytest.fixture
def folder(shared, tmp_path):
  return shutil.copytree(shared, tmp_path / "shapes" / shared.name)


def changed(before, now) -> str:
  return difference("shapes", dataset_fingerprint(before), dataset_fingerprint(now))


def test_the_same_set_elsewhere_is_the_same(shared, folder, tmp_path):
  assert changed(shared, folder) == ""
  again = prepared(tmp_path / "again")
  assert dataset_fingerprint(again) == dataset_fingerprint(shared)
  assert json.loads(json.dumps(dataset_fingerprint(shared))) == dataset_fingerprint(shared)


@pytest.mark.parametrize(
  ("options", "said"),
  [
    ({"count": 41}, "'shapes' has 5 test + 41 train, and had 5 test + 40 train"),
    ({"first": 1}, "as many examples as it had, but others (records "),
    ({"corrupt": [7]}, "as many examples as it had, but others (records "),
    ({"labels": False}, "has other features than it had"),
  ],
)
def test_another_set_under_the_same_name_is_told(options, said, shared, tmp_path):
  assert said in changed(shared, prepared(tmp_path, **options))


def test_a_set_that_prepare_did_not_write_is_told_by_its_files(shared, folder, tmp_path):
  other = prepared(tmp_path / "other", first=1)
  for one in (folder, other):
    (one / "prepared.json").unlink()
  assert changed(shared, folder) == ""  # by the files, as one of them has no digest
  assert "but others (files " in changed(folder, other)
  assert "but others (files " in changed(shared, other)


def test_a_flipped_bit_of_a_file_is_told_where_nothing_else_is_known(shared, folder):
  (folder / "prepared.json").unlink()
  damage.flip(next(folder.glob("*train.array_record-*")))
  assert "but others (files " in changed(shared, folder)


def test_other_packing_of_the_same_records_is_the_same_set(shared, folder):
  """Another version of array_record may write other bytes for the same records."""
  shard = next(folder.glob("*train.array_record-*"))
  shard.write_bytes(shard.read_bytes() + b"\0")
  assert dataset_fingerprint(folder)["files"] != dataset_fingerprint(shared)["files"]
  assert changed(shared, folder) == ""


def test_no_more_of_large_files_is_read_than_their_ends(folder, monkeypatch):
  shard = next(folder.glob("*train.array_record-*"))
  with shard.open("r+b") as file:
    file.truncate(1 << 40)  # takes no room on the disk
  before = dataset_fingerprint(folder)
  with shard.open("r+b") as file:
    file.seek((1 << 40) - 3)
    file.write(b"x")
  assert dataset_fingerprint(folder)["files"] != before["files"]


@pytest.mark.parametrize("content", ["{}", "[]", '{"splits": [{"name": 1}]}', '{"splits": 3}', "["])
def test_damage_is_one_line(content, folder):
  (folder / "dataset_info.json").write_text(content)
  with pytest.raises(UserError, match=r"dataset_info.json: (names no splits|is no JSON)"):
    dataset_fingerprint(folder)
