"""Splits that the hash leaves empty get documents after all."""

import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Corpus, Opened
from pretrainjax.prepare.stages.holdout import Holdout
from pretrainjax.prepare.stages.journal import open_journal
from pretrainjax.prepare.text.collector import documents_file
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.fill import filled
from pretrainjax.prepare.text.text_tally import TextTally


@pytest.fixture
def opened(tmp_path):
  """Returns `opened(texts, holdout, splits)`: the documents in the splits of the hash."""
  with open_journal(tmp_path) as journal:

    def opened(texts, holdout: Holdout, *, splits=(), split=None) -> Opened:
      tally, files = TextTally(), {}
      for i, text in enumerate(texts):
        document = Document(str(i), text, split=split)
        place = split or holdout.split_of(text)
        tally.keep_document(document, place)
        files.setdefault(place, []).append(document.to_json() + "\n")
      for place, lines in files.items():
        documents_file(tmp_path, place).write_text("".join(lines))
      corpus = Corpus("r", "", 0, lambda: iter(()), splits=splits)
      return Opened(corpus, tmp_path, journal, tally)

    yield opened


def texts_of(folder, split: str) -> list[str]:
  return [Document.from_json(line).text for line in documents_file(folder, split).open()]


def test_where_nothing_is_empty_nothing_is_done(opened, tmp_path):
  job = opened([str(i) for i in range(200)], Holdout(validation_fraction=0.1))
  assert filled(job, Holdout(validation_fraction=0.1), is_blocks=True) == tmp_path


@pytest.mark.parametrize("count", [3, 4, 30])
def test_few_documents_are_ranked(opened, count):
  holdout = Holdout(test_fraction=0.001, validation_fraction=0.001)
  texts = [str(i) for i in range(count)]
  job = opened(texts, holdout)
  folder = filled(job, holdout, is_blocks=True)
  found = {split: texts_of(folder, split) for split in ("test", "validation", "train")}
  assert [len(part) for part in found.values()] == [1, 1, count - 2]
  assert sorted(sum(found.values(), [])) == sorted(texts)
  assert job.tally.kept == {split: len(part) for split, part in found.items()}
  assert sum(job.tally.bytes.values()) == sum(map(len, texts))
  kept = dict(job.tally.kept)
  job.tally.kept = {"train": count}  # as a run that goes on has it
  assert filled(job, holdout, is_blocks=True) == folder and job.tally.kept == kept


def test_neither_the_order_nor_where_they_lie_matters(opened):
  holdout = Holdout(test_fraction=0.001)
  held_out = []
  for texts in ("abcdefg", "gfedcba"):
    job = opened(list(texts), holdout)
    held_out.append(texts_of(filled(job, holdout, is_blocks=True), "test"))
    job.journal.put("fill", None)
  assert held_out[0] == held_out[1] and len(held_out[0]) == 1


def test_too_few_are_refused_with_what_went_before(opened):
  holdout = Holdout(test_fraction=0.1, validation_fraction=0.1)
  job = opened(["a", "a", "b"], holdout)
  job.tally.drop("x", "duplicate")
  with pytest.raises(UserError, match="of 3 documents none .*left out before: 1 duplicate"):
    filled(job, holdout, is_blocks=True)


def test_validation_is_cut_off_given_training_documents_of_a_corpus_alone(opened, tmp_path):
  holdout = Holdout(validation_fraction=0.001)
  job = opened(list("abcdefg"), holdout, splits=("test", "train"), split="train")
  assert filled(job, holdout, is_blocks=False) == tmp_path
  folder = filled(job, holdout, is_blocks=True)
  assert len(texts_of(folder, "validation")) == 1 and job.tally.kept["train"] == 6
