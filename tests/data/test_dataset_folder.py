"""Datasets of strangers are opened without running what they name."""

import json

import pytest
import tiny_datasets

from pretrainjax.data.dataset_folder import newest_version, open_builder, prepared_names
from pretrainjax.errors import UserError


@pytest.fixture
def folder(tmp_path):
  tiny_datasets.prepare("shapes", tmp_path, count=4)
  return newest_version("shapes", tmp_path)


def test_the_newest_version_is_found_by_its_numbers(tmp_path):
  for version in ("1.9.0", "1.10.0", "1.2.0", "\u00b2.0.0"):  # the last is a digit, but no number
    (tmp_path / "a" / version).mkdir(parents=True)
    (tmp_path / "a" / version / "dataset_info.json").write_text("{}")
  assert newest_version("a", tmp_path).name == "1.10.0"
  assert newest_version("b", tmp_path) is None
  assert prepared_names(tmp_path) == {"a"}


def test_what_we_write_can_be_opened(folder):
  assert set(open_builder(folder, flag="--x").info.splits) == {"train", "test"}


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
@pytest.mark.parametrize(
  "name",
  [
    "pretrainjax_evil_module.X",
    "os.X",
    "X",
    "",
    "tensorflow_datasets.evil.X",
    "tensorflow_datasets.core.features",
    "tensorflow_datasets.core.features/../x.X",
    "tensorflow_datasets.core.featuresx.X",
    "\uff54ensorflow_datasets.core.features.x.X",
    "tensorflow_datasets.core.features.x.X\n",
    3,
    None,
    ["os.X"],
  ],
)
def test_only_classes_of_tfds_are_imported(folder, monkeypatch, key, name):
  features = json.loads((folder / "features.json").read_text())
  image = features["featuresDict"]["features"]["image"]
  del image["pythonClassName"]
  image[key] = name
  (folder / "features.json").write_text(json.dumps(features))
  monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"imported {name}"))
  with pytest.raises(UserError, match="--x: .* names the class") as refusal:
    open_builder(folder, flag="--x")
  assert str(refusal.value).isprintable()


def test_a_feature_may_be_called_type(folder):
  features = json.loads((folder / "features.json").read_text())
  named = features["featuresDict"]["features"]
  named["type"] = named.pop("image")
  (folder / "features.json").write_text(json.dumps(features))
  assert "type" in open_builder(folder, flag="--x").info.features


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"{", b"[" * 100_000, b"\xff\xfe", b"{}", None])
def test_damage_is_one_line(folder, name, data):
  if data is None:
    (folder / name).unlink()
  else:
    (folder / name).write_bytes(data)
  with pytest.raises(UserError, match="--x: ") as refusal:
    open_builder(folder, flag="--x")
  assert str(refusal.value).isprintable()


def test_a_description_of_all_the_memory_is_not_read(folder):
  with open(folder / "features.json", "wb") as file:
    file.truncate(1 << 40)  # takes no room on the disk
  with pytest.raises(UserError, match="more than 64 MiB"):
    open_builder(folder, flag="--x")
