"""A guess at what a column is."""

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.text.columns import completed, described, field_names, guessed
from pretrainjax.prepare.text.fields import Fields

ANSWERS = {"text": ["a"], "answer_start": [3]}
LONG = ["some words of a text", "other words of a text", "and a few more words"]


def bare(*columns) -> list[dict]:
  return [{str(i + 1): cell for i, cell in enumerate(row)} for row in zip(*columns, strict=True)]


@pytest.mark.parametrize(
  "record, fields",
  [
    ({"text": "a", "label": 1}, Fields(label="label")),
    ({"Review": "a", "sentiment": "x"}, Fields("Review", label="sentiment")),
    ({"text1": "a", "text2": "b", "score": 1.5}, Fields("text1", "text2", score="score")),
    ({"premise": "a", "hypothesis": "b", "label": 2}, Fields("premise", "hypothesis", "label")),
    ({"prompt": "a", "completion": "b"}, Fields("prompt", "completion")),
    ({"id": 1, "meta": {"text": "a"}}, Fields("meta.text")),
    ({"tokens": ["a"], "ner_tags": [0]}, Fields("tokens", tags="ner_tags")),
    ({"messages": [{}], "id": 1}, Fields(messages="messages")),
    (
      {"id": 1, "Question": "a", "context": "b", "answers": ANSWERS},
      Fields("Question", "context", answers="answers"),
    ),
    ({"query": "a", "text": "b", "answers": [ANSWERS]}, Fields("query", "text", answers="answers")),
    ({"question": "a", "context": "b", "answers": ["c"]}, Fields("question")),
    ({"question": "a", "context": "b", "answers": []}, Fields("question")),
    ({"x": 1}, None),
  ],
)
def test_by_names(record, fields):
  assert guessed([record]) == fields


@pytest.mark.parametrize(
  "columns, fields",
  [
    ((LONG,), Fields("1")),
    ((LONG, ["a", "b", "a"]), Fields("1", label="2")),
    ((["a", "b", "a"], LONG), Fields("2", label="1")),
    ((["1", "0", "1"], LONG), Fields("2", label="1")),
    ((LONG, LONG[::-1]), Fields("1", second="2")),
    ((LONG, LONG[::-1], ["1.5", "2", "0.1"]), Fields("1", second="2", score="3")),
    ((["7", "8", "9"], LONG), Fields("2")),
    ((["1", "2", "3"],), None),
  ],
)
def test_by_what_stands_in_columns_without_names(columns, fields):
  assert guessed(bare(*columns)) == fields


def complete(fields: Fields, rows: list, kind: str = "jsonl", file: str = "a.jsonl") -> Fields:
  return completed(fields, rows, kind=kind, file=file)


def test_records_with_a_text_are_that_text_unless_more_is_asked_for():
  rows = [{"text": "a", "label": 1}]
  assert complete(Fields(), rows) == Fields()
  assert complete(Fields(), rows, "table") == Fields(label="label")
  assert complete(Fields(label="label"), rows) == Fields(label="label")
  assert complete(Fields(label="y"), [{"review": "a", "y": 1}]) == Fields("review", label="y")


def test_questions_are_known_though_their_context_is_called_text():
  rows = [{"question": "q", "text": "c", "answers": []}, {"answers": [ANSWERS], "text": "c"}]
  wanted = Fields("question", "text", answers="answers")
  assert complete(Fields(), rows) == wanted
  assert complete(Fields(), rows[:1]) == Fields()  # of which nothing says so
  assert complete(Fields("text"), [{"text": "c", "question": "q"}]) == Fields()
  assert described(wanted) == "text=question, second=text, answers=answers"


def test_columns_of_words_and_tags():
  rows = [{"1": ["a"], "2": ["b"], "3": ["c"], "4": ["d"]}]
  assert complete(Fields(), rows, "columns") == Fields("1", tags="4")
  assert complete(Fields(tags="2"), rows, "columns") == Fields("1", tags="2")
  assert complete(Fields(), rows, "conllu", "a.conllu") == Fields("2", tags="4")


def test_what_is_not_there_is_told():
  with pytest.raises(UserError, match="no field of 'a.jsonl' looks like a text, .* x, y.z"):
    complete(Fields(), [{"x": 1, "y": {"z": 2}}])
  with pytest.raises(UserError, match="fields.label: .* no field 'labl'; did you mean 'label'"):
    complete(Fields(label="labl"), [{"text": "a", "label": 1}])
  assert complete(Fields(label="labl"), []) == Fields(label="labl")


def test_words_for_it():
  assert described(Fields("a", label="b")) == "text=a, label=b"
  assert described(Fields(messages="m")) == "messages=m"
  assert field_names([{"a": {"b": 1, "c": {}}}, {"d": 1}]) == ["a.b", "a.c", "d"]
