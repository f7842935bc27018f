"""Files of every kind, in every state."""

import pyarrow
import pyarrow.parquet
import pytest

from pretrainjax.data import records
from pretrainjax.prepare.contract import Reached, Unreadable
from pretrainjax.prepare.text import formats, streams
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.formats import Reader


def read(path, content=None, *, split=None, **options):
  if content is not None:
    path.write_bytes(content)
  found = Reader(**options).records(path, key="k", split=split)
  return [item for item in found if not isinstance(item, Reached)]


def texts(found) -> list[str]:
  return [item.text for item in found]


def test_a_file_is_a_document_or_what_it_holds_is(tmp_path):
  content = b"one\r\ntwo\n\n \nthree\n"
  path = tmp_path / "a.txt"
  assert read(path, content, split="test") == [
    Document("k", "one\ntwo\n\n \nthree\n", split="test")
  ]
  assert texts(read(path, documents="paragraph")) == ["one\ntwo", "three"]
  assert texts(read(path, documents="line")) == ["one", "two", "three"]
  parts = read(path, documents="part", part_characters=9)
  assert texts(parts) == ["one\ntwo", " \nthree"]
  assert [part.key for part in parts] == ["k#0", "k#1"] and parts[0].group is None


def test_a_long_file_comes_in_pieces_of_one_group(tmp_path, monkeypatch):
  monkeypatch.setattr(formats, "PIECE", 10)
  monkeypatch.setattr(streams, "_CHUNK", 7)
  content = "word \u00e9 ".encode() * 10
  found = read(tmp_path / "a.txt", content)
  assert "".join(texts(found)) == content.decode()
  assert {item.group for item in found} == {"k"} and len({item.key for item in found}) == len(found)
  assert "".join(texts(read(tmp_path / "a.txt", documents="line"))) == content.decode()


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 100])
def test_paragraphs_do_not_depend_on_how_much_is_read_at_once(tmp_path, monkeypatch, chunk):
  monkeypatch.setattr(streams, "_CHUNK", chunk)
  found = read(tmp_path / "a.txt", b"a\n\n\n\nbb\nc\n \n\nd", documents="paragraph")
  assert texts(found) == ["a", "bb\nc", "d"]


def test_other_encodings(tmp_path):
  path = tmp_path / "a.txt"
  assert read(path, b"caf\xe9") == [
    Unreadable("k", "not UTF-8 (--config.source.encoding names another)")
  ]
  assert read(path, encoding="latin-1") == [Document("k", "caf\u00e9")]
  assert read(path, b"") == [Unreadable("k", "empty file")]
  assert read(tmp_path / "none.txt")[0].reason.startswith("cannot be read")


def test_lines_of_json(tmp_path):
  content = b'{"text": "a"}\n\nnonsense\n["text"]\n"text"\n{"t": 1}\n\xff\n{"text": "b"}'
  assert read(tmp_path / "a.jsonl", content) == [
    Document("k:1", "a"),
    Unreadable("k:3", "not JSON"),
    Unreadable("k:4", "not a record of fields"),
    Unreadable("k:5", "not a record of fields"),
    Unreadable("k:6", "no field 'text'"),
    Unreadable("k:7", "not UTF-8"),
    Document("k:8", "b"),
  ]
  assert read(tmp_path / "b.jsonl", b"[" * 100_000)[0].reason == "not JSON"


def test_a_line_that_is_too_long_is_passed_over(tmp_path, monkeypatch):
  monkeypatch.setattr(records, "LONGEST_LINE", 20)
  content = b'{"text": "%s"}\n{"text": "b"}\n' % (b"a" * 50)
  found = read(tmp_path / "a.jsonl", content)
  assert [type(item) for item in found] == [Unreadable, Document] and found[1].key == "k:2"


def test_parquet(tmp_path):
  path = tmp_path / "a.parquet"
  table = {"text": ["a", None, "c"], "label": [0, 1, 1], "words": [["x"], ["y"], []]}
  pyarrow.parquet.write_table(pyarrow.table(table), path)
  found = read(path, fields=Fields(label="label"))
  assert found == [
    Document("k:0", "a", label="0"),
    Unreadable("k:1", "no field 'text'"),
    Document("k:2", "c", label="1"),
  ]
  assert read(path, fields=Fields(text="x")) == [Unreadable("k", "no column 'x'")]
  whole = path.read_bytes()
  for broken in (whole[:50], whole[:-20], b"", b"PAR1" + b"\0" * 40 + b"PAR1"):
    assert read(path, broken) == [Unreadable("k", "not a whole parquet file")]
