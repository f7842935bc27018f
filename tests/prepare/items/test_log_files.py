"""Files of logs in whatever state: every row is read or counted."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from pretrainjax.prepare.contract import Remark, Unreadable
from pretrainjax.prepare.items import log_files
from pretrainjax.prepare.items.log_files import LogFile, Rows
from pretrainjax.prepare.items.log_streams import UNENDED
from pretrainjax.prepare.items.values import texts

COLUMNS = ["user", "item"]


def read(path, columns=COLUMNS, **options):
  """All rows, what could not be read, and what was remarked."""
  rows, wrong, remarks = [], [], []
  for block in LogFile(path, **options).blocks(columns, key=path.name):
    if isinstance(block, Rows):
      columns_of = [texts(block.batch.column(name)).to_pylist() for name in columns]
      rows += zip(*columns_of, strict=True)
    elif isinstance(block, Unreadable):
      wrong.append((block.key, block.reason))
    elif isinstance(block, Remark):
      remarks.append(block.what)
  return rows, wrong, remarks


@pytest.fixture(params=[1 << 24, 64], ids=["one block", "many blocks"])
def blocks(monkeypatch, request):
  monkeypatch.setattr(log_files, "_BLOCK", request.param)


ROWS = [(f"u{i % 7}", f"i{i}") for i in range(50)]


@pytest.mark.parametrize(
  ("name", "head", "separator"),
  [
    ("log.csv", "user,item,more", ","),
    ("log.tsv", "user\titem\tmore", "\t"),
    ("log.inter", "user:token\titem:token\tmore:float", "\t"),
    ("log.txt", "user;item;more", ";"),
    ("log.dat", "user|item|more", "|"),
  ],
)
def test_tables_of_all_kinds(tmp_path, blocks, name, head, separator):
  lines = [head, *(separator.join([*row, "7"]) for row in ROWS)]
  (tmp_path / name).write_text("\n".join(lines) + "\n")
  assert read(tmp_path / name) == (ROWS, [], [])
  with gzip.open(tmp_path / f"{name}.gz", "wt") as file:
    file.write("\r\n".join(lines) + "\r\n")
  assert read(tmp_path / f"{name}.gz") == (ROWS, [], [])


def test_a_table_without_a_header(tmp_path):
  (tmp_path / "u.data").write_text("".join(f"{u}\t{i}\t3\t88125\n" for u, i in ROWS))
  assert read(tmp_path / "u.data", ["1", "2"]) == (ROWS, [], [])


def test_two_colons_between_cells(tmp_path, blocks):
  (tmp_path / "ratings.dat").write_text("".join(f"{u}::{i}::3::88125\n" for u, i in ROWS))
  assert read(tmp_path / "ratings.dat", ["1", "2"]) == (ROWS, [], [])
  (tmp_path / "movies.dat").write_text("1::Film: part 2 (1995)::War|Drama\n")
  assert LogFile(tmp_path / "movies.dat").head() == [
    {"1": "1", "2": "Film: part 2 (1995)", "3": "War|Drama"}
  ]


def test_names_alone_make_a_header_where_all_are_words(tmp_path):
  (tmp_path / "a.csv").write_text("user_id,item_id\n" + "".join(f"u{i},x{i}\n" for i in range(9)))
  assert LogFile(tmp_path / "a.csv").head()[0] == {"user_id": "u0", "item_id": "x0"}


def test_quotes_and_empty_cells(tmp_path, blocks):
  (tmp_path / "a.csv").write_text('user,item\n"a, b","say ""x"""\n,i\n\nu,"two\nlines"\n')
  rows, wrong, _ = read(tmp_path / "a.csv")
  assert rows == [("a, b", 'say "x"'), (None, "i"), ("u", "two\nlines")] and not wrong


def test_a_log_cut_in_the_middle_of_a_line(tmp_path, blocks):
  text = "user,item,time\n" + "".join(f"{u},{i},5\n" for u, i in ROWS)
  (tmp_path / "cut.csv").write_text(text + "u9,")
  assert read(tmp_path / "cut.csv") == (ROWS, [("cut.csv:52", "2 columns, expected 3")], [UNENDED])
  (tmp_path / "number.csv").write_text(text + "u9,i9,88")  # nobody knows whether it is whole
  assert read(tmp_path / "number.csv") == ([*ROWS, ("u9", "i9")], [], [UNENDED])


@pytest.mark.parametrize("suffix", [".csv.gz", ".jsonl.gz"])
def test_what_comes_before_the_damage_is_read(tmp_path, suffix):
  rows = [(f"u{i}", f"i{i * 7919 % 1009}") for i in range(3000)]
  text = "user,item\n" + "".join(f"{u},{i}\n" for u, i in rows)
  if "json" in suffix:
    text = "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows)
  path = tmp_path / f"a{suffix}"
  data = gzip.compress(text.encode())
  path.write_bytes(data[: len(data) // 2])
  found, wrong, _ = read(path)
  assert 100 < len(found) < 3000 and found == rows[: len(found)]
  assert wrong[-1] == (path.name, "not a whole .gz")
  assert len(wrong) <= 2  # and the line that it breaks off in


def test_lines_of_json_of_all_kinds(tmp_path, blocks):
  lines = [json.dumps({"user": u, "item": i, "more": [1]}) for u, i in ROWS]
  (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
  assert read(tmp_path / "a.jsonl") == (ROWS, [], [])
  odd = ['{"user": 1, "item": "x"}', "[1]", "nonsense", '{"item": 2.5}', "", '{"user": "u", "it']
  (tmp_path / "odd.jsonl").write_text("\n".join([*lines, *odd]))
  rows, wrong, remarks = read(tmp_path / "odd.jsonl")
  assert rows == [*ROWS, ("1", "x"), (None, "2.5")]
  assert wrong == [
    ("odd.jsonl:52", "not a record of fields"),
    ("odd.jsonl:53", "not JSON"),
    ("odd.jsonl:56", "not JSON"),
  ]
  assert remarks == [UNENDED]


def test_parquet_with_and_without_dictionaries(tmp_path):
  table = pa.table({"user": [1, 2, None], "item": ["a", "b", "a"], "other": [[1], [2], [3]]})
  for use in (True, False):
    path = tmp_path / f"{use}.parquet"
    parquet.write_table(table, path, use_dictionary=use)
    assert read(path) == ([("1", "a"), ("2", "b"), (None, "a")], [], [])
  path.write_bytes(path.read_bytes()[:-20])
  assert read(path) == ([], [("False.parquet", "not a whole parquet file")], [])


def test_other_encodings(tmp_path):
  (tmp_path / "a.csv").write_bytes("user,item\n\u00e9,x\n".encode("latin-1"))
  assert read(tmp_path / "a.csv") == ([(None, "x")], [], [])
  assert read(tmp_path / "a.csv", encoding="latin-1") == ([("\u00e9", "x")], [], [])
  (tmp_path / "b.csv").write_bytes("user,item\n\u00e9,x\n".encode("utf-16"))
  assert read(tmp_path / "b.csv") == ([("\u00e9", "x")], [], [])


def test_files_of_nothing(tmp_path):
  for name in ("a.csv", "a.jsonl", "a.inter"):
    (tmp_path / name).write_text("")
    rows, wrong, _ = read(tmp_path / name)
    assert rows == [] and wrong == [(name, "empty file")]
    assert LogFile(tmp_path / name).head() == []


def test_a_line_without_end_is_not_kept_in_memory(tmp_path, monkeypatch):
  monkeypatch.setattr(log_files, "LONGEST_LINE", 100)
  monkeypatch.setattr(log_files, "_BLOCK", 64)
  (tmp_path / "a.jsonl").write_text('{"user": "a", "item": "b"}\n' + "x" * 1000)
  rows, wrong, _ = read(tmp_path / "a.jsonl")
  assert rows == [("a", "b")]
  assert wrong == [("a.jsonl:2", "line of more than 0 MiB")]


def test_rows_know_their_numbers(tmp_path, blocks):
  lines = ["user,item", *(f"{i},{i}" if i % 3 else "x" for i in range(2, 60))]
  (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
  records = [json.dumps({"user": i, "item": i}) if i % 3 else "[1]" for i in range(1, 60)]
  (tmp_path / "a.jsonl").write_text("\n".join(records) + "\n")
  for name in ("a.csv", "a.jsonl"):
    found = [b for b in LogFile(tmp_path / name).blocks(COLUMNS, key="") if isinstance(b, Rows)]
    pairs = [
      (rows.number(place), int(user))
      for rows in found
      for place, user in enumerate(texts(rows.batch.column("user")).to_pylist())
    ]
    assert len(pairs) > 30 and all(number == user for number, user in pairs)
