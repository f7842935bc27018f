"""Names of folders and files, and the splits that they mean."""

import pytest

from pretrainjax.prepare.split_names import rest_of_name, split_of_name


@pytest.mark.parametrize(
  ("split", "names"),
  [
    (
      "train",
      "train Train TRAIN training Training_Set trainset training-images trainSet imgs_train "
      "train2017 seg_train train-00000-of-00001 train.jsonl wiki.train.tokens eng.train trainval "
      "train_val train-v2.0.json TrainImages trainA imdb_train.csv.gz x.train-00001-of-00004",
    ),
    (
      "validation",
      "validation val Val valid VALID dev Dev devel development dev-v1.1.json val2017 valid_set "
      "validation_images devset squad-dev-v1.1 eng.testa images_val en_ewt-ud-dev.conllu",
    ),
    (
      "test",
      "test Test TEST testing test_set testset eval Evaluation test1 testB holdout eng.testb "
      "imdb_test.csv test-00003-of-00012.parquet TestImages test.ft.txt",
    ),
  ],
)
def test_usual_names_of_splits_are_known(split, names):
  assert {name: split_of_name(name) for name in names.split()} == dict.fromkeys(
    names.split(), split
  )


@pytest.mark.parametrize(
  "name",
  "cat trainer restrain protest contest evaluate valley device developer testament latest strain "
  "trains tests train_test test-or-dev 2017 _ .".split(),
)
def test_names_that_hold_the_letters_by_chance_or_two_splits_mean_none(name):
  assert split_of_name(name) is None
  assert split_of_name("") is None


def test_the_rest_of_a_name_is_alike_for_the_splits_of_one_set():
  assert rest_of_name("seg_train") == rest_of_name("seg_test") == "seg"
  assert rest_of_name("Train") == rest_of_name("test_set") == rest_of_name("val2017") == ""
  assert rest_of_name("bullet_train") != rest_of_name("crash_test")
