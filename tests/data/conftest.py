"""Datasets of a few records, written once for all tests of the pipeline."""

from pathlib import Path

import pytest
import tiny_datasets


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> Path:
  """Where "shapes" (22 records), "more" (9), "bare" (7, no labels) and "torn" (3 of 20) lie."""
  folder = tmp_path_factory.mktemp("tiny")
  tiny_datasets.prepare("shapes", folder, count=22)
  tiny_datasets.prepare("more", folder, count=9, first=1000)
  tiny_datasets.prepare("bare", folder, count=7, labels=False)
  tiny_datasets.prepare("torn", folder, count=20, corrupt=(3, 4, 11))
  return folder
