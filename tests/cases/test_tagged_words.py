"""Words with tags in columns, in files of the names that published sets have."""

import gzip

import pytest
from text_folders import documents, fill

WORDS = "alpha beta gamma delta river stone paper green yellow market".split()


def columns(first: str, *, sentences: int = 20) -> str:
  """Sentences that differ, in the columns of CoNLL-2003."""
  found = ["-DOCSTART- -X- -X- O\n"]
  for number in range(sentences):
    words = [first, *WORDS[number % 5 :], f"{number}"]
    found.append("".join(f"{w} NN B-NP {'O' if w in WORDS else 'B-PER'}\n" for w in words))
  return "\n".join(found)


@pytest.mark.parametrize(
  "names",
  [
    ("eng.train", "eng.testa", "eng.testb"),
    ("eng.train.iob2", "eng.testa.iob2", "eng.testb.iob2"),
    ("ner-train.tags", "ner-dev.tags", "ner-test.tags.gz"),
  ],
)
def test_splits_of_tagged_words_by_the_names_that_their_files_have(prepare, tmp_path, names):
  contents = [columns(word) for word in ("sea", "lake", "pond")]
  files = {
    name: gzip.compress(content.encode()) if name.endswith(".gz") else content
    for name, content in zip(names, contents, strict=True)
  }
  ended, report = prepare(fill(tmp_path / "in", {**files, "README": "Words and tags."}))
  assert ended.status == 0, ended.errors[-1:]
  size = sum(documents(report).values()) // 3
  assert documents(report) == dict.fromkeys(("train", "validation", "test"), size) and size
  assert report["tag_names"] == ["O", "B-PER"]
  assert "dropped        1 no text by its name" in ended.out and "README" in ended.out
