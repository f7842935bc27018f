"""Files of strangers are read row by row, and never unpacked to more than memory holds."""

import os
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pretrainjax.data import records
from pretrainjax.data.records import Damaged, lines, parsed, rows


def written(tmp_path, table, **options):
  path = tmp_path / "a.parquet"
  pq.write_table(pa.table(table), path, **options)
  return path


def test_rows_are_dicts_in_order_over_all_groups(tmp_path):
  table = {"text": [str(i) for i in range(700)], "n": list(range(700))}
  path = written(tmp_path, table, row_group_size=300)
  assert [row["text"] for row in rows(path, ["text"])] == table["text"]


def test_a_column_must_be_there_once(tmp_path):
  path = written(tmp_path, {"text": ["a"]})
  with pytest.raises(Damaged, match="no column 'x'") as error:
    list(rows(path, ["x"]))
  assert error.value.columns == ("text",)
  twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
  pq.write_table(twice, path)
  with pytest.raises(Damaged, match="several columns 'text'"):
    list(rows(path, ["text"]))


def test_damage_is_said_and_never_passed_on(tmp_path):
  path = written(tmp_path, {"text": [f"text {i}" for i in range(300)]}, write_page_checksum=True)
  whole = path.read_bytes()
  for place in range(4, len(whole), 97):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
    try:
      found = [row["text"] for row in rows(path, ["text"])]
    except Damaged:
      continue
    assert found == [f"text {i}" for i in range(300)]
  with pytest.raises(Damaged):
    path.write_bytes(whole[:-30])
    list(rows(path, ["text"]))


def test_a_value_without_a_match_in_python_costs_its_row_alone(tmp_path):
  days = pa.array([0, 2**62, 0], pa.timestamp("us"))
  found = list(rows(written(tmp_path, {"text": ["a", "b", "c"], "day": days}), ["text", "day"]))
  assert [row and row["text"] for row in found] == ["a", None, "c"]


def test_a_column_that_unpacks_to_absurdly_much_is_refused_by_its_header(tmp_path, monkeypatch):
  monkeypatch.setattr(records, "_BATCH_BYTES", 1 << 20)
  path = written(tmp_path, {"text": ["\0" * 10_000_000, "b"]}, compression="zstd")
  with pytest.raises(Damaged, match="unpacks to more than 200 times"):
    list(rows(path, ["text"]))
  honest = os.urandom(1_000_000).hex()  # large, but not out of nothing
  path = written(tmp_path, {"text": [honest, "b"]}, compression="zstd")
  assert [row["text"] for row in rows(path, ["text"])] == [honest, "b"]


def test_rows_that_all_repeat_one_large_value_do_not_fill_the_memory(tmp_path, monkeypatch):
  monkeypatch.setattr(records, "_BATCH_BYTES", 4 << 20)
  large = os.urandom(500_000).hex()
  column = pa.DictionaryArray.from_arrays(pa.array([0] * 600, pa.int32()), pa.array([large]))
  path = written(tmp_path, {"text": column}, dictionary_pagesize_limit=1 << 30)
  tracemalloc.start()
  before = pa.total_allocated_bytes()
  most, count = 0, 0
  try:
    for row in rows(path, ["text"]):
      assert row["text"] == large
      most, count = max(most, pa.total_allocated_bytes() - before), count + 1
    assert count == 600
    assert most < 20 << 20 and tracemalloc.get_traced_memory()[1] < 20 << 20
  finally:
    tracemalloc.stop()


def test_more_rows_than_a_file_can_hold_are_refused(tmp_path):
  path = written(tmp_path, {"text": ["a"] * 2_000_000}, compression="zstd")
  with pytest.raises(Damaged, match="more rows than its bytes can hold"):
    next(rows(path, ["text"]))


@pytest.mark.parametrize(
  ("line", "expected"),
  [
    (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    (b"[1]", [1]),
    (b"\xff", "not UTF-8"),
    (b"{", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"9" * 5000, "not JSON"),
    (b'"text"', "not a record of fields"),
    (None, "line of more than 64 MiB"),
  ],
)
def test_a_line_is_a_record_or_what_is_wrong_with_it(line, expected):
  assert parsed(line) == expected


def test_lines_that_are_too_long_are_skipped_as_a_whole(tmp_path, monkeypatch):
  monkeypatch.setattr(records, "LONGEST_LINE", 8)
  path = tmp_path / "a"
  path.write_bytes(b"short\n" + b"x" * 100 + b"\nnext\n1234567\n12345678\n")
  with open(path, "rb") as file:
    assert list(lines(file)) == [b"short\n", None, b"next\n", b"1234567\n", None]
