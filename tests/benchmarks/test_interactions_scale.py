"""The benchmark makes a log that prepares, and says what that took."""

import interactions_scale
import pyarrow.parquet as parquet
import pytest


def test_the_log_is_as_large_as_asked_and_few_items_have_most_events(tmp_path):
  interactions_scale.make(tmp_path / "log.parquet", events=5_000, users=100, items=1_000)
  log = parquet.read_table(tmp_path / "log.parquet")
  assert log.num_rows == 5_000 and log.column_names == ["user_id", "item_id", "timestamp"]
  counts = [row["counts"] for row in log["item_id"].value_counts().to_pylist()]
  assert len(counts) > 300 and sum(sorted(counts)[-10:]) > 1_000
  times = log["timestamp"].to_pylist()
  assert times != sorted(times)


@pytest.mark.repeat
def test_it_is_prepared_and_resumed(tmp_path):
  log = tmp_path / "log.parquet"
  interactions_scale.make(log, events=5_000, users=100, items=1_000)
  taken = interactions_scale.prepare(log, tmp_path / "whole")
  assert taken.seconds > 0 and taken.processor > 0 and 50 < taken.peak < 4000
  interactions_scale.stop(log, tmp_path / "stopped", 1.0)
  interactions_scale.prepare(log, tmp_path / "stopped")
  one, other = (
    interactions_scale.report_of(tmp_path / name)["record_digests"] for name in ("whole", "stopped")
  )
  assert one == other
