"""Records of .json in its forms."""

import io
import json

import pytest

from pretrainjax.data import records
from pretrainjax.prepare.text import json_files
from pretrainjax.prepare.text.json_files import json_records

RECORDS = [{"text": "a" * i, "n": i} for i in range(30)]


def read(data: str | bytes) -> list:
  data = data.encode() if isinstance(data, str) else data
  return list(json_records(io.BufferedReader(io.BytesIO(data))))


@pytest.mark.parametrize("chunk", [1, 7, 50, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_arrays_objects_and_lines(monkeypatch, chunk, indent):
  monkeypatch.setattr(json_files, "_CHUNK", chunk)
  assert read(json.dumps(RECORDS, indent=indent)) == RECORDS
  assert read(" \n" + json.dumps(RECORDS, indent=indent) + "\n") == RECORDS
  assert read(json.dumps({"version": 1, "data": RECORDS}, indent=indent)) == RECORDS
  assert read("\n".join(json.dumps(record) for record in RECORDS)) == RECORDS
  assert read(json.dumps(RECORDS[3], indent=indent)) == [RECORDS[3]]


@pytest.mark.parametrize("chunk", [50, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_articles_of_squad_come_one_by_one_however_large_the_file(monkeypatch, chunk, indent):
  articles = [{"title": f"[{i}", "paragraphs": [{"context": "c", "qas": []}]} for i in range(9)]
  monkeypatch.setattr(json_files, "_CHUNK", chunk)
  monkeypatch.setattr(json_files, "LONGEST_LINE", 400)
  monkeypatch.setattr(records, "LONGEST_LINE", 400)
  for whole in (
    {"version": "v2.0", "data": articles},
    {"data": articles, "version": "1.1"},
    {"version": 1.1, "data": articles},
  ):
    data = json.dumps(whole, indent=indent)
    assert len(data) > 400 and read(data) == articles
  assert read(json.dumps({"data": RECORDS})) == ["object of more than 0 MiB"]


def test_a_conversation_is_one_record():
  chat = {"id": 1, "messages": [{"role": "user", "content": "a"}]}
  assert read(json.dumps(chat)) == [chat]


@pytest.mark.parametrize(
  "data, found",
  [
    ("[", ["not JSON"]),
    ("[1, 2", [1, "not JSON"]),
    ('[{"a": 1}, {', [{"a": 1}, "not JSON"]),
    ('["x"]', ["not a record of fields"]),
    ("{", ["not JSON"]),
    ("[]", []),
    (b'[{"a":"\xff"}]', ["not UTF-8"]),
    ("[" * 100_000, ["not JSON"]),
    ('{"a": 1}\nnonsense\n{"a": 2}', [{"a": 1}, "not JSON", {"a": 2}]),
  ],
)
def test_what_is_broken_is_told(data, found):
  assert read(data) == found
