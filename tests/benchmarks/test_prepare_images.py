"""The benchmark makes files that differ, prepares all of them and says what that took."""

import json

import prepare_images
import pytest


@pytest.mark.repeat
def test_all_files_are_prepared(tmp_path):
  prepare_images.make(tmp_path / "raw", 120, 4)
  files = list((tmp_path / "raw").rglob("*.png"))
  assert len(files) == len({path.read_bytes() for path in files}) == 120
  seconds, peak = prepare_images.prepare(tmp_path)
  assert seconds > 0 and 50 < peak < 4000
  report = json.loads((tmp_path / "data/noise/1.0.0/prepared.json").read_text())
  assert sum(report["written"].values()) == 120 and report["classes"] == 100
