import json

import pytest
from item_sets import NUM_USERS, split, write_tastes

from pretrainjax.errors import UserError
from pretrainjax.predict.askers import Question, asker_of, known_user, read_questions, somebody
from pretrainjax.predict.item_log import ItemLog


@pytest.fixture(scope="module")
def log(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp("data")
  write_tastes(data_dir)
  return ItemLog(split(data_dir, "train").sources[0])


def test_a_known_user_has_all_events_of_every_split(log):
  asker = known_user("u3", log)
  test = split(log.source.data_dir, "test")
  target = [batch["target"] for batch in test.one_pass()][0][3]
  assert asker.user == 3 and len(asker.events.items) == 8 and asker.events.items[-1] == target
  assert (asker.events.times[1:] >= asker.events.times[:-1]).all()
  late = known_user("u18", log)
  assert late.events.items.tolist() == [2, 4, 6] and not late.is_cold


def test_an_unknown_user_is_cold(log):
  asker = known_user("nobody", log)
  assert asker.is_cold and asker.user == NUM_USERS and asker.name == "nobody"


def test_a_history_is_ids_or_titles_and_unknown_names_are_kept_apart(log):
  asker = somebody("i3, The film 5, The flim 6", log)
  assert asker.events.items.tolist() == [3, 5] and asker.unknown == ("The flim 6",)
  assert somebody(["i1", "i1"], log).events.items.tolist() == [1, 1]
  assert asker_of(Question(None, "nothing"), log).is_cold


ROWS = [{"user": "u1"}, {"user": 7}, {"history": ["i1", "i2"]}, {"history": "i1, i2", "user": ""}]
FOUND = [Question("u1", None), Question("7", None), Question(None, ["i1", "i2"])]


def test_rows_of_lines_and_tables(tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
  assert read_questions(path) == [*FOUND, Question(None, "i1, i2")]
  table = tmp_path / "a.csv"
  table.write_text('user,history\nu1,\n7,\n,"i1, i2"\n')
  assert read_questions(table) == [*FOUND[:2], Question(None, "i1, i2")]


def test_rows_of_parquet(tmp_path):
  pa = pytest.importorskip("pyarrow")
  import pyarrow.parquet as parquet

  columns = {"user": ["u1", "7", None], "history": [None, None, ["i1", "i2"]], "more": [1, 2, 3]}
  parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
  assert read_questions(tmp_path / "a.parquet") == FOUND
  parquet.write_table(pa.table({"users": ["u1"]}), tmp_path / "b.parquet")
  with pytest.raises(UserError, match="without a column 'user' or 'history'; did you mean"):
    read_questions(tmp_path / "b.parquet")


@pytest.mark.parametrize(
  ("name", "text", "message"),
  [
    ("a.txt", "u1", "--file: found .*a.txt', expected one of .jsonl"),
    ("a.jsonl", "", "holds no row"),
    ("a.jsonl", '{"user": "u1"}\n{"use', "row 2 of .*: found not JSON, expected a record"),
    ("a.jsonl", '{"usr": "u1"}\n', "found neither 'user' nor 'history'; did you mean 'usr'"),
    ("a.csv", "users\nu1\n", "found neither 'user' nor 'history'"),
  ],
)
def test_a_file_of_something_else_is_one_line(tmp_path, name, text, message):
  (tmp_path / name).write_text(text)
  with pytest.raises(UserError, match=message):
    read_questions(tmp_path / name)


def test_a_missing_file_is_one_line(tmp_path):
  with pytest.raises(UserError, match="--file: "):
    read_questions(tmp_path / "none.jsonl")
