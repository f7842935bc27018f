import csv
import gzip
import json

import pyarrow
import pytest

from pretrainjax.data import records
from pretrainjax.errors import UserError
from pretrainjax.predict.texts import read_texts, text_field

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


def zstd(data: bytes) -> bytes:
  return pyarrow.compress(data, codec="zstd", asbytes=True)


def table(rows, delimiter: str, tmp_path) -> bytes:
  path = tmp_path / "table"
  with path.open("w", newline="", encoding="utf-8") as file:
    csv.writer(file, delimiter=delimiter).writerows(rows)
  return path.read_bytes()


@pytest.mark.parametrize("suffix, pack", [("", bytes), (".gz", gzip.compress), (".zst", zstd)])
@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "json", "jsonl"])
def test_what_prepare_text_reads_is_read_packed_or_not(tmp_path, kind, suffix, pack):
  texts = TEXTS if kind == "txt" else [*TEXTS, 'of two\nlines, and "quoted"']
  rows, objects = [("n", "body"), *enumerate(texts)], [{"body": text} for text in texts]
  data = {
    "txt": "\n".join(texts).encode(),
    "csv": table(rows, ",", tmp_path),
    "tsv": table(rows, "\t", tmp_path),
    "json": json.dumps(objects, indent=1).encode(),
    "jsonl": "\n".join(map(json.dumps, objects)).encode(),
  }[kind]
  path = tmp_path / f"a.{kind}{suffix}"
  path.write_bytes(pack(data))
  assert list(read_texts(path, field="body")) == texts
  path.write_bytes(pack(data)[:-9] if suffix else b"\0" * 99)
  with pytest.raises(UserError, match=f"'{path}' is (not a whole {suffix}|zero bytes)"):
    list(read_texts(path, field="body"))


def test_fields_are_named_as_for_prepare_text(tmp_path):
  path = tmp_path / "a.jsonl"
  path.write_text(json.dumps({"data": {"text": "one", "parts": ["two", "three"]}}))
  assert list(read_texts(path, field="data.text")) == ["one"]
  assert list(read_texts(path, field="data.parts")) == ["two\nthree"]
  with pytest.raises(UserError, match=r"has no text 'data.txt' .*; did you mean 'data.text'"):
    list(read_texts(path, field="data.txt"))
  (tmp_path / "eng.testa").write_text("Anna B-PER\nsleeps O\n\nBonn B-LOC\n\n")
  assert list(read_texts(tmp_path / "eng.testa", field="1")) == ["Anna sleeps", "Bonn"]


@pytest.mark.parametrize(
  "name, content, field",
  [
    ("a.csv", "label,review\ngood,it is so\n", "review"),
    ("a.tsv", "it is so good\t1\nnor is it bad\t0\n", "1"),
    ("a.csv", "review,prompt\nx,y\n", "prompt"),
    ("a.jsonl", '{"data": {"text": "x"}}', "data.text"),
    ("a.jsonl", '{"messages": [{"role": "user", "content": "x"}]}', "messages"),
    ("eng.testa", "1 a O\n2 b O\n3 c O\n", "1"),
    ("a.txt", "x", "prompt"),
    ("a.jsonl", '{"n": 1}', "prompt"),
  ],
)
def test_a_field_that_is_not_named_is_the_usual_one_or_a_guess(tmp_path, name, content, field):
  (tmp_path / name).write_text(content)
  options = {"usual": "prompt", "flag": "--prompts", "encoding": "utf-8"}
  assert text_field(tmp_path / name, named=None, **options) == field
  assert text_field(tmp_path / name, named="z", **options) == "z"


def test_conversations_become_prompts_where_they_may(tmp_path):
  asked, answer = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
  talks = [[asked], [asked, answer], [asked, answer, asked]]
  path = tmp_path / "a.jsonl"
  path.write_text("\n".join(json.dumps({"messages": talk}) for talk in talks))
  options = {"field": "messages", "flag": "--prompts"}
  found = list(read_texts(path, conversations=True, **options))
  assert found == ["Why?", "Why?", "user: Why?\n\nassistant: So.\n\nuser: Why?"]
  with pytest.raises(UserError, match=r"a.jsonl:1: .*expected a text"):
    list(read_texts(path, **options))
  path.write_text(json.dumps({"messages": [{"role": "user"}]}))
  with pytest.raises(UserError, match=r"a.jsonl:1: found a message without role and content"):
    list(read_texts(path, conversations=True, **options))


def test_other_encodings(tmp_path):
  (tmp_path / "a.txt").write_bytes("caf\u00e9\nzwei".encode("utf-16"))
  assert list(read_texts(tmp_path / "a.txt")) == ["caf\u00e9", "zwei"]
  (tmp_path / "a.csv").write_bytes("text\ncaf\u00e9\n".encode("latin-1"))
  assert list(read_texts(tmp_path / "a.csv", encoding="latin-1")) == ["caf\u00e9"]
  (tmp_path / "a.txt").write_bytes("some text".encode("utf-16-le"))
  with pytest.raises(UserError, match=r"--input: .*\(--encoding=utf-16-le\)"):
    list(read_texts(tmp_path / "a.txt"))
  with pytest.raises(UserError, match="--encoding: found 'latin-99'"):
    list(read_texts(tmp_path / "a.txt", encoding="latin-99"))


def test_what_is_no_text_is_told_with_its_place(tmp_path):
  def message(name, data=None, **arguments):
    if data is not None:
      (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as error:
      list(read_texts(tmp_path / name, **arguments))
    return str(error.value)

  assert "a.pdf', expected one of .txt" in message("a.pdf", b"")
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
