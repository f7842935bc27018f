"""Rows as events and as descriptions: which are none, and what is in the others."""

from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.items.columns import EventFields, TableFields
from pretrainjax.prepare.items.events import Described, Events
from pretrainjax.prepare.items.log_files import LogFile
from pretrainjax.prepare.items.reading import described, events_of

FIELDS = EventFields("user", "item", "t", "s", "r", "e")


def test_a_row_has_one_reason_and_the_rest_are_events(tmp_path):
  rows = ["user,item,t,r,e", ",,,,", "a,,,,", "a,b,,,", "a,b,x,,", "a,b,7,4,view", "a,c,8,good,"]
  (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
  found = list(events_of(LogFile(tmp_path / "a.csv"), FIELDS, key="a"))
  assert [item for item in found if isinstance(item, Unreadable)] == [
    Unreadable("a:2", "without a user"),
    Unreadable("a:3", "without an item"),
    Unreadable("a:4", "without a time"),
    Unreadable("a:5", "a time that is none"),
  ]
  (events,) = (item for item in found if isinstance(item, Events))
  assert events.key == "a:6" and events.times.tolist() == [7_000_000, 8_000_000]
  assert events.kinds.to_pylist() == ["view", None]
  assert events.ratings[0] == 4 and events.ratings[1] != events.ratings[1]


def test_descriptions_of_all_values(tmp_path):
  lines = ['{"n": 7, "t": " A\\nB ", "f": ["x", 2, null, " "], "g": 1.0, "h": {"a": 1}}']
  lines += ['{"n": null}', "[]", '{"n": true, "f": "x|y", "g": NaN}']
  (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
  fields = TableFields("n", "t", ("f", "g", "h"), "|")
  assert list(described(LogFile(tmp_path / "a.jsonl"), fields, of="item", key="a")) == [
    Described("a:1", "item", "7", "A B", {"f": ["x", "2"], "g": "1"}),
    Unreadable("a:2", "without the id of the item"),
    Unreadable("a:3", "not a record of fields"),
    Described("a:4", "item", "true", None, {"f": ["x", "y"]}),
  ]


def test_a_table_that_cannot_be_read_is_counted(tmp_path):
  (tmp_path / "a.parquet").write_bytes(b"PAR1")
  fields = TableFields("n")
  found = list(described(LogFile(tmp_path / "a.parquet"), fields, of="user", key="a"))
  assert found == [Unreadable("a", "not a whole parquet file")]


def test_a_file_without_a_column_is_counted(tmp_path):
  (tmp_path / "a.csv").write_text("user,item\na,b\n")
  found = list(events_of(LogFile(tmp_path / "a.csv"), EventFields("user", "what"), key="a"))
  assert found[0] == Unreadable("a", "no column 'what', or several")
