"""What tests of cases share."""

import functools
import json

import binaries
import image_folders
import pytest


@pytest.fixture
def run(tmp_path, capsys):
  """Prepares a folder of images, by flags alone."""
  return functools.partial(image_folders.prepare, tmp_path, capsys)


@pytest.fixture
def prepare(tmp_path, capsys):
  """Returns `prepare(source, *flags, name)`: how the binary ended, and prepared.json if it did."""

  def prepare(source, *flags, name="x"):
    data_dir, vocabulary = tmp_path / "data", "--config.tokenizer.vocab_size=400"
    where = (f"--source={source}", f"--name={name}", f"--data_dir={data_dir}")
    ended = binaries.call(capsys, "prepare", "text", *where, vocabulary, *flags)
    report = data_dir / name / "1.0.0" / "prepared.json"
    return ended, json.loads(report.read_text()) if report.is_file() else None

  return prepare
