"""What tests of cases share."""

import functools

import image_folders
import pytest


@pytest.fixture
def run(tmp_path, capsys):
  """Prepares a folder of images, by flags alone."""
  return functools.partial(image_folders.prepare, tmp_path, capsys)
