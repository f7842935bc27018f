"""Tables, as programs and people write them."""

import io

import pytest

from pretrainjax.data import records
from pretrainjax.prepare.text import tables
from pretrainjax.prepare.text.tables import Dialect, dialect_of, table_rows


def dialect(text: str, **options) -> Dialect | None:
  return dialect_of(io.BytesIO(text.encode()), **({"is_tsv": False} | options))


def rows(text: str, **options) -> list:
  return list(table_rows(io.BytesIO(text.encode()), dialect(text, **options)))


@pytest.mark.parametrize(
  "text, names",
  [
    ("text,label\na b,1\nc d,0\n", ("text", "label")),
    (",text\n0,a\n1,b\n", ("1", "text")),
    ("a b c d,1\ne f g h,0\n", ("1", "2")),
    ("foo,bar\nsome words,1\nother words,2\n", ("foo", "bar")),
    ("en,de\na house,ein Haus\nthe dog,der Hund\n", ("en", "de")),
    ("good,pos\nbad,neg\nfine,pos\n", ("1", "2")),
    ("text\na; b, c\nd\n", ("text",)),
    ("Sentence;Label\na, b;x\nc, d;y\n", ("Sentence", "Label")),
  ],
)
def test_headers_and_delimiters(text, names):
  assert dialect(text).names == names


def test_a_header_can_be_told():
  assert rows("a,b\nc,d\n", header=True) == [{"a": "c", "b": "d"}]
  assert rows("text,b\nc,d\n", header=False)[0] == {"1": "text", "2": "b"}


def test_quotes_hold_delimiters_newlines_and_quotes():
  text = 'text,label\n"a, ""b""\nc",1\n"d",0\n\n'
  assert rows(text) == [{"text": 'a, "b"\nc', "label": "1"}, {"text": "d", "label": "0"}]


def test_stray_quotes_are_letters():
  text = 'sentence\tlabel\n"a b\t1\nc "d"\t0\n"e\t1\n'
  found = rows(text, is_tsv=True)
  assert [row["sentence"] for row in found] == ['"a b', 'c "d"', '"e']
  assert rows('text\tn\n"a\tb"\t1\nc\t2\n', is_tsv=True)[0] == {"text": "a\tb", "n": "1"}


def test_odd_rows_are_told():
  found = rows("text,label\na,1\nb\nc,0,2\nd,1\n" + "e,1\n" * 5)
  assert found[1:3] == ["1 columns, expected 2", "3 columns, expected 2"] and len(found) == 9


def test_a_row_of_all_the_memory_is_not_read(monkeypatch):
  monkeypatch.setattr(tables, "LONGEST_LINE", 50)
  monkeypatch.setattr(records, "LONGEST_LINE", 50)
  text = "text,label\na,1\n" + "b" * 200 + ",1\nc,2\n"
  found = list(table_rows(io.BytesIO(text.encode()), Dialect(",", True, ("text", "label"), True)))
  told = "row of more than 0 MiB"
  assert found == [{"text": "a", "label": "1"}, told, {"text": "c", "label": "2"}]
  text = 'text,label\na,1\n"' + "b\n" * 200
  found = list(table_rows(io.BytesIO(text.encode()), Dialect(",", True, ("text", "label"), True)))
  assert told in found
  found = list(table_rows(io.BytesIO(b"\xff,1\nc,2\n"), Dialect(",", True, ("1", "2"), False)))
  assert found == ["not UTF-8", {"1": "c", "2": "2"}]


def test_nothing_is_no_table():
  assert dialect("") is None and dialect("\n\n") is None
