"""Texts out of tfds datasets."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tiny_datasets

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Unreadable
from pretrainjax.prepare.text.catalogue import open_dataset
from pretrainjax.prepare.text.document import Answer, Document
from pretrainjax.prepare.text.fields import Fields

NONE = {"text": [], "answer_start": []}
EXAMPLES = {
  "train": [
    {"text": "good", "label": 1, "words": ["A", "b"], "tags": [0, 1], "answers": NONE},
    {"text": "?", "label": -1, "words": [], "tags": [], "answers": NONE},
  ],
  "test": [
    {
      "text": "bad",
      "label": 0,
      "words": ["c"],
      "tags": [1],
      "answers": {"text": ["d\u00e9", "a"], "answer_start": [2, 1]},
    }
  ],
}


def write(data_dir, name: str, splits: list[str]) -> None:
  class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("2.0.0")

    def _info(self):
      features = {
        "text": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["neg", "pos"]),
        "words": tfds.features.Sequence(tfds.features.Text()),
        "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=["O", "B"])),
        "answers": tfds.features.Sequence(  # as tfds' own "squad" has them
          {"text": tfds.features.Text(), "answer_start": np.int32}
        ),
      }
      return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
      return {split: enumerate(EXAMPLES[split]) for split in splits}

    def _generate_examples(self):
      raise NotImplementedError

  Builder.name = name
  Builder(data_dir=str(data_dir), file_format="array_record").download_and_prepare()


def records(corpus) -> list:
  return [record for part in corpus.parts() for record in part.records()]


def test_texts_with_their_labels_and_splits(tmp_path):
  write(tmp_path, "some", ["train", "test"])
  corpus = open_dataset("some", data_dir=tmp_path, fields=Fields(label="label"))
  assert corpus.class_names == ("neg", "pos") and corpus.size == 3
  first, *rest = records(corpus)
  assert first == Document("test:0", "bad", label="neg", split="test")
  assert {type(r): r[1] for r in rest} == {Document: "good", Unreadable: "no field 'label'"}


def test_a_dataset_without_held_out_split_leaves_it_to_us(tmp_path):
  write(tmp_path, "alone", ["train"])
  assert {r.split for r in records(open_dataset("alone", data_dir=tmp_path, fields=Fields()))} == {
    None
  }


def test_words_with_tags(tmp_path):
  write(tmp_path, "some", ["test"])
  fields = Fields(text="words", tags="tags")
  (found,) = records(open_dataset("some", data_dir=tmp_path, fields=fields))
  assert (found.words, found.tags) == (("c",), ("B",))


def test_questions_with_answers(tmp_path):
  write(tmp_path, "some", ["train", "test"])
  fields = Fields(text="text", second="text", answers="answers")
  test, *train = records(open_dataset("some", data_dir=tmp_path, fields=fields))
  assert test.answers == (Answer("d\u00e9", 2), Answer("a", 1))
  assert [document.answers for document in train] == [(), ()]


def test_what_is_not_there_is_said(tmp_path):
  write(tmp_path, "some", ["train"])
  with pytest.raises(UserError, match="no dataset 'sme' in '.*'; did you mean 'some'"):
    open_dataset("sme", data_dir=tmp_path, fields=Fields())
  with pytest.raises(UserError, match="'some' has no feature 'txt'; did you mean 'text'"):
    open_dataset("some", data_dir=tmp_path, fields=Fields(text="txt"))
  tiny_datasets.prepare("shapes", tmp_path, count=2)
  with pytest.raises(UserError, match="no feature 'text'"):
    open_dataset("shapes", data_dir=tmp_path, fields=Fields())
