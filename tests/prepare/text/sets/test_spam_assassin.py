"""Bodies with their classes, a part of each class held out."""

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.sets.spam_assassin import Source, stratified

FOLDERS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")


def fill(root):
  for folder in FOLDERS:
    (root / folder).mkdir(parents=True)
    for i in range(4):
      (root / folder / f"{i:05d}.abc.txt").write_text(f"Subject: x\n\n{folder} {i}\n")
  return root


def test_mails_with_their_splits(tmp_path):
  with Source(str(fill(tmp_path / "raw")), test_fraction=0.25).open(tmp_path) as corpus:
    parts = {part.key: list(part.records()) for part in corpus.parts()}
    assert corpus.class_names == ("ham", "spam")
  assert list(parts) == ["test", "train"]  # so that duplicates go from training
  found = [d.label for d in parts["test"]]
  assert (found.count("ham"), found.count("spam")) == (3, 2)
  for split, documents in parts.items():
    for document in documents:
      folder, number = document.key.split("/")
      assert document.text == f"{folder} {int(number)}\n" and document.split == split
      assert document.label == ("spam" if folder.startswith("spam") else "ham")


def test_the_choice_does_not_depend_on_order():
  documents = [Document(str(i), f"text {i}", label="a") for i in range(50)]
  first = stratified(documents, fraction=0.2, seed=0)
  other = stratified(documents[::-1], fraction=0.2, seed=0)
  assert {d.key for d in first["test"]} == {d.key for d in other["test"]}
  assert len(first["test"]) == 10
  assert first["test"] != stratified(documents, fraction=0.2, seed=1)["test"]


def test_a_folder_that_lacks_a_group(tmp_path):
  (fill(tmp_path / "raw") / "spam-2").rename(tmp_path / "elsewhere")
  with pytest.raises(UserError, match="SpamAssassin's corpus was not found; .*lacks spam-2"):
    with Source(str(tmp_path / "raw")).open(tmp_path):
      pass
  with pytest.raises(ValueError, match="test_fraction=1.0"):
    Source(test_fraction=1.0)


def test_messages_that_no_parser_reads_are_told(tmp_path):
  root = fill(tmp_path / "raw")
  parts = (b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (i, i) for i in range(3000))
  (root / "spam-1" / "00100.a.txt").write_bytes(b"".join(parts))
  with open(root / "spam-1" / "00101.a.txt", "wb") as file:
    file.truncate(1 << 30)
  with Source(str(root)).open(tmp_path) as corpus:
    parts = {part.key: list(part.records()) for part in corpus.parts()}
  assert {(item.key, item.reason) for item in parts["broken"]} == {
    ("spam-1/00100", "no e-mail (RecursionError)"),
    ("spam-1/00101", "file of more than 16 MiB"),
  }
  assert sum(map(len, parts.values())) == 4 * len(FOLDERS) + 2
