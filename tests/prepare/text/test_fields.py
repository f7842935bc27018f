"""Records become documents, or say what is wrong with them."""

import pytest

from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.fields import Fields


def test_every_field_is_taken():
  fields = Fields(text="q", second="a", label="c", score="s")
  record = {"q": "why", "a": "so", "c": 3, "s": "1.5", "other": None}
  found = fields.document(record, key="k", split="test")
  assert found == Document("k", "why", second="so", label="3", score=1.5, split="test")


def test_words_with_tags():
  fields = Fields(text="tokens", tags="ner")
  found = fields.document({"tokens": ["A", "dog"], "ner": ["B-X", 0]}, key="k")
  assert found == Document("k", "A dog", words=("A", "dog"), tags=("B-X", "0"))


@pytest.mark.parametrize("value, name", [(True, "true"), (2.0, "2"), (b"x", "x"), (" y ", "y")])
def test_names_of_classes(value, name):
  assert Fields(label="c").document({"text": "", "c": value}, key="k").label == name


@pytest.mark.parametrize(
  "fields, record, reason",
  [
    (Fields(), ["text"], "not a record of fields"),
    (Fields(), {"txt": "x"}, "no field 'text'"),
    (Fields(), {"text": None}, "no field 'text'"),
    (Fields(), {"text": 3}, "'text' is no text"),
    (Fields(), {"text": b"\xff"}, "not UTF-8"),
    (Fields(label="c"), {"text": "x", "c": ""}, "'c' is no class"),
    (Fields(label="c"), {"text": "x", "c": 1.5}, "'c' is no class"),
    (Fields(label="c"), {"text": "x", "c": "\ud800"}, "'c' is no class"),
    (Fields(label="c"), {"text": "x", "c": "a\nb"}, "'c' is no class"),
    (Fields(score="s"), {"text": "x", "s": "nan"}, "'s' is no finite number"),
    (Fields(label="c"), {"text": "x", "c": "x" * 2000}, "'c' is no class"),
    (Fields(label="c"), {"text": "x", "c": float("nan")}, "'c' is no class"),
    (Fields(score="s"), {"text": "x", "s": 1e300}, "'s' is no finite number"),
    (Fields(score="s"), {"text": "x", "s": -(10**400)}, "'s' is no finite number"),
    (Fields(score="s"), {"text": "x", "s": True}, "'s' is no finite number"),
    (Fields(score="s"), {"text": "x", "s": [1]}, "'s' is no finite number"),
    (Fields(score="s"), {"text": "x", "s": 10**400}, "'s' is no finite number"),
    (Fields(tags="t"), {"text": "x", "t": [1]}, "'text' and 't' are not lists"),
    (Fields(tags="t"), {"text": ["x"], "t": [1, 2]}, "'t' has another length than 'text'"),
    (Fields(tags="t"), {"text": [1], "t": [1]}, "'text' is no text"),
  ],
)
def test_what_is_wrong_is_said_in_a_few_words(fields, record, reason):
  assert fields.document(record, key="k") == Unreadable("k", reason)
