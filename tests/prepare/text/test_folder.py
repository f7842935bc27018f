"""A folder or a file, as the user names it."""

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Reached, Unreadable
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.fields import Fields
from pretrainjax.prepare.text.folder import Source


def records(source, data_dir) -> list:
  with source.open(data_dir) as corpus:
    found = [record for part in corpus.parts() for record in part.records()]
    return [record for record in found if not isinstance(record, Reached)]


def test_a_folder(tmp_path):
  (tmp_path / "r").mkdir()
  (tmp_path / "r" / "a.txt").write_text("A")
  (tmp_path / "r" / "b.md").write_text("B")
  (tmp_path / "r" / "c.jsonl").write_text('{"text": "C"}\n')
  source = Source(str(tmp_path / "r"), "some")
  assert records(source, tmp_path / "data") == [
    Document("a.txt", "A"),
    Unreadable("b.md", "no text by its name", fault=False),
    Document("c.jsonl:1", "C"),
  ]
  with source.open(tmp_path / "data") as corpus:
    assert corpus.size == 1 + 14 == sum(part.size for part in corpus.parts())


def test_a_file(tmp_path):
  (tmp_path / "a.txt").write_text("A\nB")
  source = Source(str(tmp_path / "a.txt"), "some", documents="line")
  assert records(source, tmp_path / "data") == [Document("a.txt#0", "A"), Document("a.txt#1", "B")]


@pytest.mark.parametrize(
  "root, message",
  [
    ("", "'' is no folder and no file"),
    ("none", "is no folder and no file"),
    ("a.md", r"ends with no .txt, .jsonl, .*.csv, .*.parquet"),
    ("empty", r"holds no .txt, .jsonl, .*.csv, .*.parquet"),
    ("others", r"holds no .txt, .*.parquet; 1 passed over"),
  ],
)
def test_where_there_is_nothing_it_says_so(tmp_path, root, message):
  (tmp_path / "empty").mkdir()
  (tmp_path / "others").mkdir()
  (tmp_path / "others" / "a.md").write_text("words\n")
  (tmp_path / "a.md").write_text("")
  with pytest.raises(UserError, match=message):
    records(Source(str(tmp_path / root) if root else "", "some"), tmp_path / "data")


def test_columns_are_found_whatever_the_name_and_others_are_passed_over(tmp_path):
  folder, columns = tmp_path / "r", "a O\nb B-PER\n\nc O\nd O\n"
  folder.mkdir()
  for name in ("eng.testa", "eng.testb", "eng.train", "README", "eng.raw"):
    (folder / name).write_text(columns if "t" in name else "a b\n" * 9)
  source = Source(str(folder), "some", fields=Fields("1", tags="2"))
  found = records(source, tmp_path / "data")
  kept = {r.key: r.split for r in found if isinstance(r, Document)}
  assert kept == {
    f"eng.{name}:{line}": split
    for name, split in (("testa", "validation"), ("testb", "test"), ("train", "train"))
    for line in (1, 4)
  }
  passed_over = [r.key for r in found if isinstance(r, Unreadable)]
  assert passed_over == ["README", "eng.raw"]
  (only,) = {r.split for r in records(Source(str(folder / "eng.testa"), "some"), tmp_path / "data")}
  assert only is None


@pytest.mark.parametrize("root", [".", "data", "data/some", "data/some/raw"])
def test_the_dataset_does_not_lie_in_its_own_source(tmp_path, root):
  folder = tmp_path / root
  folder.mkdir(parents=True, exist_ok=True)
  (folder / "a.txt").write_text("A")
  with pytest.raises(UserError, match="hold one another"):
    records(Source(str(folder), "some"), tmp_path / "data")


def test_arguments_are_checked():
  with pytest.raises(ValueError, match="name='A b'"):
    Source("x", "A b")
  with pytest.raises(ValueError, match="encoding='klingon'"):
    Source("x", "a", encoding="klingon")
  with pytest.raises(ValueError, match="part_characters=0"):
    Source("x", "a", part_characters=0)


@pytest.mark.parametrize(
  "encoding", ["zip", "base64", "rot13", "hex", "uu", "undefined", "", "a\0b"]
)
def test_encodings_that_turn_bytes_into_bytes_are_none(encoding):
  with pytest.raises(ValueError):
    Source("x", "a", encoding=encoding)


def test_names_that_no_folder_can_have(tmp_path):
  with pytest.raises(ValueError, match="at most 100 letters"):
    Source("x", "a" * 101)
  with pytest.raises(UserError, match="is no folder and no file"):
    records(Source("x" * 5000, "some"), tmp_path)
