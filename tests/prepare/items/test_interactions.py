"""Logs of one's own as sources: which files are read, by which columns, and what is told."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from pretrainjax.data.item_table import ItemTable, UserTable
from pretrainjax.errors import UserError
from pretrainjax.prepare.items.columns import EventFields, TableFields
from pretrainjax.prepare.items.splits import Splits
from pretrainjax.prepare.report import lines
from tests.prepare.items.test_preparation import (
  digests,
  histories,
  random_rows,
  report_of,
  write,
  write_log,
)

LEAVE_ONE_OUT = Splits(kind="leave_one_out")
COLUMNS = ("user", "item", "time")


def test_the_same_log_in_any_form_gives_the_same_records(tmp_path):
  rows = random_rows(200)
  moment = [(u, i, f"1970-01-01T00:{t // 60:02d}:{t % 60:02d}Z") for u, i, t in rows]
  records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
  write_log(tmp_path / "a.csv", rows)
  write_log(tmp_path / "iso.csv", moment)
  write_log(tmp_path / "ms.csv", [(u, i, t * 1000) for u, i, t in rows])
  (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
  head = "user_id:token\titem_id:token\ttimestamp:float"
  text = "\n".join([head, *("\t".join([str(u), str(i), f"{t}.0"]) for u, i, t in rows)])
  (tmp_path / "a.inter").write_text(text + "\n")
  with gzip.open(tmp_path / "a.tsv.gz", "wt") as file:
    file.write("\n".join(["\t".join(COLUMNS), *("\t".join(map(str, row)) for row in rows)]) + "\n")
  columns = {name: [record[name] for record in records] for name in COLUMNS}
  parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
  dates = columns | {"time": pa.array(columns["time"], pa.timestamp("s"))}
  parquet.write_table(pa.table(dates), tmp_path / "dates.parquet")
  (tmp_path / "several").mkdir()
  write_log(tmp_path / "several" / "1.csv", rows[:90])
  write_log(tmp_path / "several" / "2.csv", rows[90:])
  found = {}
  for name in ("a.csv", "iso.csv", "ms.csv", "a.jsonl", "a.inter", "a.tsv.gz", "a.parquet"):
    found[name] = tmp_path / name
  found |= {"dates.parquet": tmp_path / "dates.parquet", "several": tmp_path / "several"}
  wanted = None
  for name, path in found.items():
    fields = EventFields(unit="ms") if name == "ms.csv" else EventFields()
    folder = write(path, tmp_path / "data" / name, fields=fields, splits=LEAVE_ONE_OUT)
    records_of = {n: d for n, d in digests(folder).items() if n != "prepared.json"}
    wanted = wanted or records_of
    assert records_of == wanted, name


def test_what_is_wrong_is_counted_and_told(tmp_path):
  rows = [*random_rows(400), ("", 1, 1_100), ("x", 2, ""), ("x", 2, "soon"), ("x", 3, -5)]
  rows += [("x", 4, 5_000_000_000), rows[0]]
  log = write_log(tmp_path / "log.csv", rows)
  with open(log, "a") as file:
    file.write("x,5,1100,1\nx,6,17")
  report = report_of(folder := write(log, tmp_path / "data", max_dropped=0.1))
  assert report["dropped"] == {
    "without a user": 1,
    "without a time": 1,
    "a time that is none": 1,
    "4 columns, expected 3": 1,
  }
  assert report["dropped_keys"]["a time that is none"] == ["log.csv:404"]
  assert report["exact_duplicates"] == len(rows) - 3 - len(set(rows) - {*rows[400:403]})
  remarks = report["remarks"]
  assert (remarks["before 1970"], remarks["after 2099"]) == (1, 1)
  assert remarks["at a file's end without a newline, which may be cut"] == 1
  assert remarks["earlier than the row before"] > 100
  left_out = report["exact_duplicates"] + report["repeats_left_out"] + report["left_out_by_core"]
  assert report["read"] == len(rows) + 2  # every row of the file is accounted for
  assert report["read"] == report["num_events"] + left_out + sum(report["dropped"].values())
  told = "\n".join(lines(report, folder))
  assert "dropped        1 a time that is none (0.2% of all): log.csv:404" in told
  assert "remarked       1 event before 1970; kept" in told
  every = [row for split in ("train", "validation", "test") for row in histories(folder, split)]
  assert "x" in every


def test_tables_of_items_and_users(tmp_path):
  rows = [("a", i, i) for i in range(20)] + [("b", 1, 3), ("b", 2, 4)]
  log = write_log(tmp_path / "log.csv", rows)
  items = write_log(
    tmp_path / "films.csv",
    [(1, "One", "War|Drama", 1.5), (2, "", "", ""), (77, "No", "", ""), (1, "Again", "", "")],
    header="item_id,title,genres,price",
  )
  people = '{"user": "b", "age": 30, "likes": ["x", "y"]}\n{"age": 1}\n'
  (tmp_path / "people.jsonl").write_text(people)
  folder = write(
    log,
    tmp_path / "data",
    items=str(items),
    item_fields=TableFields(separator="|"),
    users=str(tmp_path / "people.jsonl"),
    max_dropped=0.1,
  )
  table, users, report = ItemTable.load(folder), UserTable.load(folder), report_of(folder)
  number = table.number_of("1")
  assert table.titles[number] == "One"
  assert table.features[number] == {"genres": ["War", "Drama"], "price": "1.5"}
  assert table.titles[table.number_of("2")] == ""
  assert users.features[users.number_of("b")] == {"age": "30", "likes": ["x", "y"]}
  assert report["described"]["item"] == {"with": 2, "without": 18, "not_in_log": 1}
  assert report["dropped"] == {"item described before": 1, "without the id of the user": 1}
  assert report["notes"][1:] == [
    "items: id=item_id, title=title, features=genres+price, as in films.csv",
    "users: id=user, features=age+likes, as in people.jsonl",
  ]


def test_recboles_tables_beside_a_log_are_found(tmp_path):
  rows = [f"{u}\t{i}\t{t}" for u, i, t in random_rows(100)]
  root = tmp_path / "x"
  root.mkdir()
  text = "\n".join(["user_id:token\titem_id:token\ttime:float", *rows])
  (root / "x.inter").write_text(text + "\n")
  (root / "x.item").write_text('item_id:token\tname:token_seq\n1\tA "quoted" name\n')
  for number, source in enumerate((root, root / "x.inter")):
    folder = write(source, tmp_path / f"data{number}")
    table = ItemTable.load(folder)
    assert table.titles[table.number_of("1")] == 'A "quoted" name'
    assert not report_of(folder)["dropped"]


@pytest.mark.parametrize(
  ("files", "source", "reason"),
  [
    ({}, {}, "holds no log, expected .csv, .tsv"),
    ({"a.csv": "user,thing\n1,2\n"}, {}, "expected the column of items of 'a.csv'"),
    ({"a.csv": "user,item\n1,2\n", "b.csv": "user,tag\n1,x\n"}, {}, "'b.csv' has no column 'item'"),
    ({"a.csv": "user,item\n"}, {}, "holds no row that can be read"),
    ({"a.csv": "user,item\n1,2\n"}, {"items": "none.csv"}, "config.source.items: 'none.csv' is no"),
    ({"a.pdf": "x"}, {}, "holds no log"),
  ],
)
def test_what_is_no_log_is_one_line(tmp_path, files, source, reason):
  root = tmp_path / "logs"
  root.mkdir()
  for name, text in files.items():
    (root / name).write_text(text)
  with pytest.raises(UserError, match=reason):
    write(root, tmp_path / "data", **source)


def test_a_place_that_is_not_there_is_one_line(tmp_path):
  with pytest.raises(UserError, match="is no file and no folder"):
    write(tmp_path / "none", tmp_path / "data")


def test_other_files_of_a_folder_are_passed_over_and_told(tmp_path):
  write_log(tmp_path / "logs" / "a.csv", random_rows(100))
  (tmp_path / "logs" / "readme.md").write_text("x")
  (tmp_path / "logs" / "blob.gz").write_bytes(gzip.compress(b"x"))
  dropped = report_of(write(tmp_path / "logs", tmp_path / "data"))["dropped"]
  assert dropped == {"no log by its name": 2}
