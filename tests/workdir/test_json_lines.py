"""Rows are added, never lost, and a torn one is left out."""

from pretrainjax.workdir.json_lines import append, put_away, rows


def test_rows_come_back_in_order(tmp_path):
  path = tmp_path / "a.jsonl"
  assert rows(path) == []
  for i in range(3):
    append(path, {"i": i})
  assert rows(path) == [{"i": 0}, {"i": 1}, {"i": 2}]


def test_a_row_cut_short_by_a_kill_spoils_no_other(tmp_path):
  path = tmp_path / "a.jsonl"
  append(path, {"i": 0})
  with path.open("a") as file:
    file.write('{"i": 1, "ke')
  assert rows(path) == [{"i": 0}]
  append(path, {"i": 2})
  assert rows(path) == [{"i": 0}, {"i": 2}]


def test_what_is_put_away_is_kept(tmp_path):
  path = tmp_path / "a.jsonl"
  put_away(path)
  for i in range(3):
    append(path, {"i": i})
    put_away(path)
    assert not path.exists()
  kept = [rows(tmp_path / f"a.{i}.jsonl")[0]["i"] for i in (1, 2, 3)]
  assert kept == [0, 1, 2]
