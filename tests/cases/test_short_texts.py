"""Short texts are not padded to the length that long ones need; the numbers are the same."""

import numpy as np
import pytest
import tiny_texts
from flax import nnx
from tiny_texts import FIRST_ID

from pretrainjax.data.text_data import TextData
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.evaluators.features import extract_features
from pretrainjax.evaluators.perplexity import Perplexity
from pretrainjax.evaluators.regression_score import RegressionScore
from pretrainjax.evaluators.similarity import Similarity
from pretrainjax.evaluators.token_f1 import TokenF1
from pretrainjax.models.bert import BERT
from pretrainjax.models.gpt import GPT
from pretrainjax.models.heads import Head
from pretrainjax.objectives.base import Towers

LENGTH, COUNT = 64, 70
SIZES = {"vocab_size": 400, "embed_dim": 16, "num_layers": 1, "num_heads": 2, "mlp_dim": 32}


class Whole:
  """A dataset that knows no shorter rows, as another package's may."""

  def __init__(self, data: TextData):
    self._data = data

  def __getattr__(self, name: str):
    if name == "pass_by_length":
      raise AttributeError(name)
    return getattr(self._data, name)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """Where "pairs", "tagged" and "plain" lie, most of their texts short."""
  folder, rng = tmp_path_factory.mktemp("short"), np.random.default_rng(0)

  def ids() -> list[int]:
    return rng.integers(FIRST_ID, 400, min(int(rng.geometric(0.15)), 50)).tolist()

  pairs = [{"tokens": ids(), "second": ids(), "score": i / 9, "label": i % 2} for i in range(COUNT)]
  tiny_texts.write("pairs", folder, {"test": pairs}, class_names=("no", "yes"))
  tagged = [{"tokens": (row := ids()), "tags": [i % 3 for i in range(len(row))]} for _ in pairs]
  tiny_texts.write("tagged", folder, {"test": tagged}, tag_names=("O", "B-X", "I-X"))
  tiny_texts.write("plain", folder, {"test": [{"tokens": ids()} for _ in pairs]})
  return str(folder)


def data(data_dir: str, name: str, **options) -> TextData:
  sizes = {"length": LENGTH, "batch_size": 4, "split": "test"}
  return TextData(datasets=name, data_dir=data_dir, **sizes, **options)


@pytest.fixture(scope="module")
def bert() -> BERT:
  bert = BERT(max_length=LENGTH, **SIZES, pool="mean", rngs=nnx.Rngs(0))
  bert.token_embedding[...] *= 30  # else all texts have about the same feature
  return bert


def both(evaluator, found: TextData, subject, **options) -> list[dict]:
  return [evaluator(data=d, **options).run(subject) for d in (found, Whole(found))]


def test_most_of_the_padding_is_not_read(data_dir):
  found = data(data_dir, "pairs")
  short = sum(batch["tokens"].size for batch in found.pass_by_length())
  assert short < 0.5 * sum(batch["tokens"].size for batch in found.one_pass())


@pytest.mark.repeat
def test_features_come_in_the_order_of_the_data(data_dir, bert):
  for name, options in (("pairs", {}), ("plain", {"max_examples": 11, "seed": 2})):
    found = data(data_dir, name)
    short, whole = (extract_features(bert, d, **options) for d in (found, Whole(found)))
    assert whole.features.std(axis=0).min() > 0.05
    np.testing.assert_allclose(short.features, whole.features, atol=1e-4)
    assert name == "plain" or np.array_equal(short.labels, whole.labels)


@pytest.mark.repeat
def test_numbers_are_the_same(data_dir, bert):
  head = Head(in_dim=16, num_classes=2, rngs=nnx.Rngs(1))
  module = Towers(encoder=bert, head=head)
  tags = Towers(encoder=bert, head=Head(in_dim=16, num_classes=3, rngs=nnx.Rngs(2)))
  gpt = Towers(encoder=GPT(max_length=LENGTH, **SIZES, rngs=nnx.Rngs(3)))
  pairs = data(data_dir, "pairs")
  for short, whole in (
    both(ClassificationAccuracy, pairs, module),
    both(Similarity, data(data_dir, "pairs", pair="views"), bert),
    both(TokenF1, data(data_dir, "tagged"), tags),
    both(Perplexity, data(data_dir, "plain"), gpt, head="causal"),
    both(Perplexity, data(data_dir, "pairs", pair="prompt"), gpt, head="causal"),
  ):
    assert short.keys() == whole.keys()
    np.testing.assert_allclose([*short.values()], [*whole.values()], rtol=1e-4, atol=1e-5)


class Scorer(nnx.Module):
  """An encoder with a head of one number, as `Regression` makes it."""

  def __init__(self, encoder: BERT):
    self.encoder = encoder
    self.head = Head(in_dim=16, num_classes=1, rngs=nnx.Rngs(1))

  def scores(self, pooled):
    return self.head(pooled)[:, 0]


def test_scores_are_the_same(data_dir, bert):
  short, whole = both(RegressionScore, data(data_dir, "pairs"), Scorer(bert))
  np.testing.assert_allclose([*short.values()], [*whole.values()], rtol=1e-4)
