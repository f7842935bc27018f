"""Contexts are cut as BERT's code for SQuAD cuts them."""

import json

import numpy as np
import pytest
import tiny_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrainjax.data.text_data import TextData
from pretrainjax.data.windows import Window, cut
from pretrainjax.errors import UserError


def reference(num_tokens, room, stride):
  """BERT's run_squad.py, by its description: until a window ends with the last token."""
  spans, start = [], 0
  while start < num_tokens:
    length = min(num_tokens - start, room)
    spans.append((start, length))
    if start + length == num_tokens:
      break
    start += min(length, stride)
  return spans


@settings(max_examples=100, deadline=None)
@given(num=st.integers(1, 60), room=st.integers(1, 20), stride=st.integers(1, 30))
def test_windows_are_those_of_bert(num, room, stride):
  parts = cut(num, room=room, stride=stride)
  assert [(p.start, p.stop - p.start) for p in parts] == reference(num, room, stride)
  assert {i for p in parts for i in range(p.start, p.stop)} == set(range(num))


def test_a_context_of_no_token_is_one_window():
  assert cut(0, room=5, stride=2) == [slice(0, 0)]


@pytest.mark.parametrize(
  "first, last, text", [(0, 0, "the"), (1, 2, "\u00e9t\u00e9 is"), (2, 3, "is")]
)
def test_the_text_of_a_span_has_no_space_at_its_ends(first, last, text):
  offsets = np.array([[0, 3], [3, 7], [7, 10], [10, 12]])
  window = Window("q", "the \u00e9t\u00e9 is  ", offsets, ())
  assert window.text(first, last) == text


CONTEXTS = (
  ("who is strong", "the people of our state", "people", None),
  ("hope", "hope for more", "", None),
  ("what is more", "the state is the union of the people", "union of", ["the union", "Union"]),
  ("is the union strong", "our hope is for the union", "hope", ["no\u00e9"]),
)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
  """A function that opens a set of questions in rows of some length."""
  folder, made = tmp_path_factory.mktemp("questions"), tiny_texts.tokenizer()
  rows = [tiny_texts.window(q, c, a, made=made, answers=o) for q, c, a, o in CONTEXTS]
  rows[3]["span"] = [-2, -2]
  path = tiny_texts.write("questions", folder, {"train": rows, "test": rows[2:]})
  facts = json.loads((path / "prepared.json").read_text())
  (path / "prepared.json").write_text(json.dumps(facts | {"window": 24}))

  def opened(**changes) -> TextData:
    options = {"datasets": "questions", "batch_size": 4, "length": 24, "data_dir": str(folder)}
    return TextData(**(options | changes))

  return opened


def texts_of(batch, windows) -> list[str | None]:
  """The text of each row's span; None where it is in none, "?" where nobody knows."""
  found = []
  for span, types, window in zip(batch["span"], batch["types"], windows, strict=True):
    shift = int(np.flatnonzero(types)[0])
    text = window.text(*(span - shift).tolist()) if span[0] > 0 else None
    found.append("?" if span[0] < 0 else text)
  return found


def test_rows_have_the_span_and_windows_its_text(questions):
  data = questions()
  (batch,) = data.one_pass()
  assert batch["span"].dtype == np.int32 and batch["span"].shape == (4, 2)
  windows = data.windows(range(4))
  assert texts_of(batch, windows) == ["people", None, "union of", "?"]
  assert [w.question for w in windows] == [f"questions/{q}" for q, *_ in CONTEXTS]
  assert [w.answers for w in windows] == [("people",), (), ("the union", "Union"), ("no\u00e9",)]
  assert [w.context for w in data.windows([2, 0])] == [CONTEXTS[2][1], CONTEXTS[0][1]]


def test_short_rows_have_the_same_spans(questions):
  data = questions(batch_size=2)
  for batch in data.pass_by_length():
    windows = data.windows(batch["index"])
    wanted = [("people", None, "union of", "?")[i] for i in batch["index"]]
    assert texts_of(batch, windows) == wanted
  longer = questions(length=500, buckets=2)
  assert longer.field.longest == longer.padding.lengths[-1] == 24


def test_places_go_on_from_one_set_to_the_next(questions):
  data = questions(split="train[:3]+test")
  assert [w.context for w in data.windows(range(5))] == [CONTEXTS[i][1] for i in (0, 1, 2, 2, 3)]


def test_rows_too_short_for_the_windows_are_refused(questions):
  with pytest.raises(UserError, match="--config.data.length: found 20, expected at least 24, the"):
    questions(length=20).has("span")
  data = questions(length=8, pair="first")
  (batch,) = data.one_pass()
  assert "span" not in batch and data.has("span")


def test_a_row_that_is_cut_has_no_answer_behind_its_end(questions):
  field = questions().field
  (batch,) = questions().one_pass()
  row = {name: array[0] for name, array in batch.items()}
  first, last = row["span"].tolist()
  assert first > 0
  for length, wanted in ((last + 1, [first, last]), (last, [0, 0])):
    cut_off = field.cut(row, length)
    assert cut_off["span"].tolist() == wanted and cut_off["tokens"].shape == (length,)


@pytest.mark.parametrize(
  "change, said",
  [
    ({"offsets": [0, 1]}, "has 2 tokens with 1 places"),
    ({"offsets": [0]}, "no window of a context"),
    ({"context": []}, "no window of a context"),
  ],
)
def test_texts_of_strangers_are_checked(tmp_path, change, said):
  good = tiny_texts.window("hope", "more hope", "more", made=tiny_texts.tokenizer())
  tiny_texts.write("odd", tmp_path, {"train": [good | change]})
  data = TextData(datasets="odd", batch_size=1, length=16, data_dir=str(tmp_path))
  with pytest.raises(ValueError, match=said):
    data.windows([0])


@pytest.mark.parametrize("span", [[3, 2], [0, 99], [1], [0, 1, 2]])
def test_a_span_that_cannot_be_is_left_out(tmp_path, caplog, span):
  made = tiny_texts.tokenizer()
  good = tiny_texts.window("hope", "more hope", "more", made=made)
  rows = [good, good | {"span": span}, good]
  tiny_texts.write("bad", tmp_path, {"train": rows})
  data = TextData(datasets="bad", batch_size=3, length=16, data_dir=str(tmp_path))
  (batch,) = data.one_pass()
  assert batch["valid"].tolist() == [True, False, True] and "found span" in caplog.text
