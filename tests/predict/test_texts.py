import json

import pytest

from pretrainjax.data import records
from pretrainjax.errors import UserError
from pretrainjax.predict.texts import read_texts

TEXTS = ["one", "", "zwei \u00e4 \u2028 drei", "four"]


def test_lines_objects_and_rows_come_in_order(tmp_path):
  (tmp_path / "a.txt").write_bytes(("\ufeff" + "\r\n".join(TEXTS)).encode())
  assert list(read_texts(tmp_path / "a.txt")) == TEXTS
  lines = [json.dumps({"body": text, "n": 1}) for text in TEXTS]
  (tmp_path / "a.jsonl").write_text("\n".join(lines))
  assert list(read_texts(tmp_path / "a.jsonl", field="body")) == TEXTS
  pa = pytest.importorskip("pyarrow")
  pq = pytest.importorskip("pyarrow.parquet")
  pq.write_table(pa.table({"n": range(4), "text": TEXTS}), tmp_path / "a.parquet")
  assert list(read_texts(tmp_path / "a.parquet")) == TEXTS


def test_what_is_no_text_is_told_with_its_place(tmp_path):
  def message(name, data=None, **arguments):
    if data is not None:
      (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as error:
      list(read_texts(tmp_path / name, **arguments))
    return str(error.value)

  assert "a.csv', expected one of .txt" in message("a.csv", b"")
  assert "no file" in message("missing.txt")
  assert "a.txt:2: is not UTF-8" in message("a.txt", b"good\n\xff\xfe\n")
  assert "did you mean 'a.txt'" in message("b.txt")
  assert "a.jsonl:2: found no text, but something that is not JSON" in message(
    "a.jsonl", b'{"text": "x"}\n{\n'
  )
  for bad in (
    b"[" * 100_000,
    b'{"text": ' + b"9" * 5000 + b"}",
    b'{"text": 3}',
    b'["text"]',
    b'"x"',
  ):
    assert "a.jsonl:1: " in message("a.jsonl", bad)
  assert "a.jsonl:1: is not UTF-8 (surrogates" in message("a.jsonl", b'{"text": "\\ud800"}')
  found = message("a.jsonl", b'{"texts": "x"}')
  assert "a.jsonl:1: has no text 'text' (--field); did you mean 'texts'?" in found
  pytest.importorskip("pyarrow")
  assert "a.parquet': found not a whole parquet file" in message("a.parquet", b"nothing")


def test_a_line_of_all_the_memory_is_not_read(tmp_path, monkeypatch):
  monkeypatch.setattr(records, "LONGEST_LINE", 20)
  for name in ("a.txt", "a.jsonl"):
    (tmp_path / name).write_bytes(b'{"text": "x"}\n{"text": "' + b"a" * 50 + b'"}\n')
    with pytest.raises(UserError, match=f"{name}:2: found .*line of more than"):
      list(read_texts(tmp_path / name))


def test_a_parquet_file_without_the_column_is_refused(tmp_path):
  pa = pytest.importorskip("pyarrow")
  pq = pytest.importorskip("pyarrow.parquet")
  pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "a.parquet")
  with pytest.raises(UserError, match="--field: .* found no column 'text'; valid: n"):
    list(read_texts(tmp_path / "a.parquet"))
  with pytest.raises(UserError, match="row 1 of 'n' is a int, expected a text"):
    list(read_texts(tmp_path / "a.parquet", field="n"))
