import json

import pytest

from pretrainjax.predict.recommended_file import Recommended, write_recommended

ROWS = [
  Recommended("u1", "model", ["a", "b"], ["Alien", "b"], [1.5, -0.25]),
  Recommended("x, y", "popularity", [], [], []),
]


def test_a_list_for_a_person():
  assert ROWS[0].lines == "u1: by model\n   1. Alien (a)  1.5\n   2. b (b)  -0.25"
  assert ROWS[1].lines == "x, y: by popularity"


def test_lines_hold_ids_titles_and_scores(tmp_path):
  write_recommended(tmp_path / "x.jsonl", ROWS)
  first, second = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
  assert first["user"] == "u1" and second == {"user": "x, y", "by": "popularity", "items": []}
  assert first["items"][0] == {"id": "a", "title": "Alien", "score": 1.5}


def test_a_table_holds_the_same(tmp_path):
  pytest.importorskip("pyarrow")
  import pyarrow.parquet as parquet

  write_recommended(tmp_path / "x.parquet", ROWS)
  columns = parquet.read_table(tmp_path / "x.parquet").to_pydict()
  assert columns["user"] == ["u1", "x, y"] and columns["by"] == ["model", "popularity"]
  assert columns["items"] == [["a", "b"], []] and columns["titles"] == [["Alien", "b"], []]
  assert columns["scores"] == [[1.5, -0.25], []]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_what_breaks_off_leaves_no_file(tmp_path, suffix):
  def rows():
    yield ROWS[0]
    raise ValueError

  with pytest.raises(ValueError):
    write_recommended(tmp_path / f"x.{suffix}", rows())
  assert not [*tmp_path.iterdir()]
