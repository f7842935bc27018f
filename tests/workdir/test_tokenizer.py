"""A run's folder holds its tokenizer, and data of another one is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tiny_texts

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.workdir.tokenizer import (
  check_tokenizers,
  data_of,
  keep_tokenizer,
  tokenizer_of,
)

OURS, OTHER = tiny_texts.tokenizer(), tiny_texts.tokenizer(380)


@dataclasses.dataclass(frozen=True)
class Data:
  """What was tokenized with some tokenizer."""

  tokenizer: Tokenizer
  datasets: str = "spam"


@dataclasses.dataclass(frozen=True)
class Reads:
  """An evaluator's fields."""

  train: Any
  k: int = 3


def test_images_have_none(tmp_path):
  assert tokenizer_of(object()) is None
  keep_tokenizer(tmp_path, object(), allow_change=False)
  assert not list(tmp_path.iterdir())


def test_a_copy_is_kept_and_nothing_beside_it(tmp_path):
  for _ in range(2):
    keep_tokenizer(tmp_path, Data(OURS), allow_change=False)
  assert [p.name for p in tmp_path.iterdir()] == ["tokenizer.json"]
  assert Tokenizer.load(tmp_path / "tokenizer.json").fingerprint == OURS.fingerprint


def test_a_vocabulary_that_prepare_does_not_read_is_converted_first():
  theirs = dataclasses.replace(OTHER, path=Path("bert/vocab.txt"))
  with pytest.raises(
    UserError, match=r"pretrainjax.export --workdir=hf:bert --out=NEW` .*"
  ) as told:
    check_tokenizers({"data": Data(OURS)}, theirs)
  assert "--config.tokenizer.path=NEW/tokenizer.json" in str(told.value)


def test_another_one_in_a_runs_folder_is_refused_unless_told(tmp_path):
  keep_tokenizer(tmp_path, Data(OURS), allow_change=False)
  (tmp_path / "checkpoints" / "7").mkdir(parents=True)
  with pytest.raises(UserError, match=f"found tokenizer {OTHER.fingerprint} .*expected"):
    keep_tokenizer(tmp_path, Data(OTHER), allow_change=False)
  assert Tokenizer.load(tmp_path / "tokenizer.json").fingerprint == OURS.fingerprint
  keep_tokenizer(tmp_path, Data(OTHER), allow_change=True)
  assert Tokenizer.load(tmp_path / "tokenizer.json").fingerprint == OTHER.fingerprint


def test_without_checkpoints_nothing_is_lost_by_another_one(tmp_path):
  for data in (Data(OURS), Data(OTHER)):
    keep_tokenizer(tmp_path, data, allow_change=False)
  assert Tokenizer.load(tmp_path / "tokenizer.json").fingerprint == OTHER.fingerprint


def test_evaluators_read_what_their_fields_hold():
  found = data_of({"knn": Reads(Data(OURS)), "odd": object()})
  assert found == {"evals.knn.train": Data(OURS), "evals.knn.k": 3}


def test_data_of_another_tokenizer_is_named_with_the_way_out(tmp_path):
  path = tmp_path / "tokenizer.json"
  expected = dataclasses.replace(OURS, path=path)
  check_tokenizers({"data": Data(OURS), "evals.knn.k": 3}, expected)
  evaluators = {"knn": Reads(Data(OTHER))}
  with pytest.raises(UserError) as refusal:
    check_tokenizers(data_of(evaluators), expected)
  message = str(refusal.value)
  assert message.startswith("--config.evals.knn.train.datasets: found tokenizer ")
  assert f"prepare spam --config.tokenizer.path={path}" in message and "\n" not in message
