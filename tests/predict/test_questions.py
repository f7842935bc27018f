"""Questions of a file, in the forms in which they are prepared."""

import json

import pytest

from pretrainjax.errors import UserError
from pretrainjax.predict.questions import Question, read_questions

RECORDS = [
  {"id": "a", "question": "Who?", "context": "Caf\u00e9 Ann.", "answers": "not read"},
  {"question": "When?", "context": "In May."},
]
WANTED = [Question("a", "Who?", "Caf\u00e9 Ann."), Question("2", "When?", "In May.")]


def test_they_come_in_order_from_all_forms(tmp_path):
  (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
  (tmp_path / "a.json").write_text(json.dumps(RECORDS))
  paragraphs = [{"context": r["context"], "qas": [r]} for r in RECORDS]
  (tmp_path / "b.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
  for name in ("a.jsonl", "a.json", "b.json"):
    assert list(read_questions(tmp_path / name)) == WANTED
  pyarrow = pytest.importorskip("pyarrow")
  table = pyarrow.Table.from_pylist([{"id": str(i), **r} for i, r in enumerate(RECORDS)])
  pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
  assert [q[1:] for q in read_questions(tmp_path / "a.parquet")] == [q[1:] for q in WANTED]


@pytest.mark.parametrize(
  "name, text, message",
  [
    ("a.txt", "", "a.txt', expected one of .json, .jsonl, .parquet"),
    ("a.jsonl", "{", "record 1: found no question, but something that is not JSON"),
    ("a.jsonl", '{"question": "q"}', "record 1 has no text 'context'"),
    ("a.jsonl", '{"question": "q", "contxt": "c"}', "did you mean 'contxt'"),
    ("a.jsonl", '{"question": "\\ud800", "context": "c"}', "record 1 is not UTF-8"),
    ("a.json", '{"data": [{"paragraphs": [{}]}]}', "paragraph without a context and questions"),
    ("a.json", "[3]", "record 1: found no question"),
  ],
)
def test_what_is_no_question_is_told(tmp_path, name, text, message):
  (tmp_path / name).write_text(text)
  with pytest.raises(UserError, match=message):
    list(read_questions(tmp_path / name))


def test_a_file_that_is_not_there_and_one_that_is_broken(tmp_path):
  (tmp_path / "a.json").write_text("[]")
  with pytest.raises(UserError, match="no file .*b.json'; did you mean 'a.json'"):
    list(read_questions(tmp_path / "b.json"))
  pytest.importorskip("pyarrow")
  (tmp_path / "a.parquet").write_bytes(b"nothing")
  with pytest.raises(UserError, match="a.parquet': found not a whole parquet file"):
    list(read_questions(tmp_path / "a.parquet"))
