import logging

import numpy as np
import pytest
from beartype.door import is_bearable
from fake_encoders import ArrayData, TinyEncoder, blobs, identity, pixels
from fake_texts import classes_seen, labelled_texts
from flax import nnx

from pretrainjax.config import spec
from pretrainjax.evaluators import knn as knn_module
from pretrainjax.evaluators.base import Examples
from pretrainjax.evaluators.knn import KNN


def reference(train, test, *, k, temperature):
  """Top-1, top-5 and predictions by loops, float64."""
  bank, queries = pixels(train), pixels(test)
  bank /= np.linalg.norm(bank, axis=1, keepdims=True)
  queries /= np.linalg.norm(queries, axis=1, keepdims=True)
  hits1 = hits5 = 0
  predictions = []
  for query, label in zip(queries, test.labels, strict=True):
    similarity = bank @ query
    votes = np.zeros(train.num_classes)
    for i in np.argsort(-similarity, kind="stable")[:k]:
      votes[train.labels[i]] += np.exp(similarity[i] / temperature)
    order = list(np.argsort(-votes, kind="stable"))
    hits1 += order[0] == label
    hits5 += label in order[:5]
    predictions.append(order[0])
  return hits1 / len(queries), hits5 / len(queries), np.array(predictions)


def test_equals_an_independent_implementation():
  train, test = blobs(300, seed=1), blobs(90, seed=2, split="test")
  outcome = KNN(train=train, test=test, k=(1, 5, 30), temperature=(0.07, 0.5)).outcome(identity())
  assert len(outcome.metrics) == 12
  for k in (1, 5, 30):
    for temperature in (0.07, 0.5):
      top1, top5, predictions = reference(train, test, k=k, temperature=temperature)
      assert outcome.metrics[f"top1_k{k}_t{temperature}"] == top1
      assert outcome.metrics[f"top5_k{k}_t{temperature}"] == top5
      if (k, temperature) == (1, 0.07):
        hits = np.bincount(test.labels[predictions == test.labels], minlength=7)
        np.testing.assert_array_equal(np.diag(outcome.confusion), hits)
  assert 0.3 < outcome.metrics["top1_k30_t0.07"] < 1.0
  assert outcome.confusion.sum() == 90


def test_chunks_do_not_change_the_numbers(monkeypatch):
  train, test = blobs(200, seed=1), blobs(75, seed=2)
  evaluator = KNN(train=train, test=test, k=(10,), temperature=(0.1,))
  whole = evaluator.run(identity())
  monkeypatch.setattr(knn_module, "_MAX_SIMILARITIES", 200 * 7)
  assert evaluator.run(identity()) == whole


def test_k_above_the_bank_is_left_out_and_said(caplog):
  train, test = blobs(50, seed=1), blobs(20, seed=2)
  with caplog.at_level(logging.WARNING):
    metrics = KNN(train=train, test=test).run(identity())
  assert set(metrics) == {f"top{t}_k20_t{x}" for t in (1, 5) for x in (0.07, 0.1)}
  assert "k [200] left out: only 50 training examples" in caplog.text
  with pytest.raises(ValueError, match="at most 10, the training examples"):
    KNN(train=blobs(10), test=test).run(identity())


def test_small_temperature_does_not_overflow():
  metrics = KNN(train=blobs(60), test=blobs(20, seed=2), k=(5,), temperature=(1e-3,)).run(
    identity()
  )
  assert metrics["top1_k5_t0.001"] > 0.2


def test_constant_features_are_at_chance():
  encoder = TinyEncoder(12, embed_dim=4, rngs=nnx.Rngs(0))
  encoder.linear.kernel.set_value(0 * encoder.linear.kernel[...])
  train, test = blobs(200, seed=1), blobs(200, seed=2)
  metrics = KNN(train=train, test=test, k=(20,), temperature=(0.1,)).run(encoder)
  assert metrics["top1_k20_t0.1"] < 0.3


def test_a_class_without_training_examples_is_never_predicted():
  train, test = blobs(200, seed=1), blobs(100, seed=2)
  keep = train.labels != 3
  train = ArrayData(train.images[keep], train.labels[keep], 7)
  outcome = KNN(train=train, test=test, k=(5,), temperature=(0.1,)).outcome(identity())
  assert outcome.confusion[:, 3].sum() == 0 and outcome.confusion[3].sum() > 0


def test_an_absent_class_is_an_error_even_among_five_or_is_left_out():
  train, test = blobs(200, seed=1), blobs(100, seed=2)
  keep, known = train.labels < 2, test.labels < 2
  options = {"test": test, "k": (5,), "temperature": (0.1,)}
  options["train"] = ArrayData(train.images[keep], train.labels[keep], 7)
  wrong = KNN(**options).run(identity())
  fewer = KNN(**options, absent_classes="left_out").outcome(identity())
  assert wrong["of_absent_classes"] == pytest.approx(np.mean(~known))
  assert wrong["top5_k5_t0.1"] == pytest.approx(known.mean())
  assert fewer.metrics["top5_k5_t0.1"] == 1.0 and fewer.confusion.sum() == known.sum()
  assert wrong["top1_k5_t0.1"] == pytest.approx(fewer.metrics["top1_k5_t0.1"] * known.mean())
  assert KNN(**options).protocol()["absent_classes"] == "wrong"


def test_top5_is_left_out_for_five_classes():
  train, test = blobs(100, num_classes=5), blobs(30, num_classes=5, seed=2)
  metrics = KNN(train=train, test=test, k=(5,), temperature=(0.1,)).run(identity())
  assert list(metrics) == ["top1_k5_t0.1"]


@pytest.mark.parametrize(
  "field, value", [("k", (0,)), ("k", ()), ("temperature", (0.0,)), ("every", -1), ("max_train", 0)]
)
def test_bad_fields_are_refused(field, value):
  with pytest.raises(ValueError, match=f"{field}=.*expected"):
    KNN(train=blobs(5), test=blobs(5), **{field: value})


def test_protocol_names_all_that_matters():
  evaluator = KNN(train=blobs(5), test=blobs(5, split="test"), max_train=3)
  protocol = evaluator.protocol()
  assert protocol["k"] == [20, 200] and protocol["temperature"] == [0.07, 0.1]
  assert protocol["train"]["split"] == "train" and protocol["test"]["split"] == "test"
  assert protocol["views"] == 1 and protocol["max_train"] == 3 and protocol["seed"] == 0
  assert "images" not in protocol["train"] and "batch_size" not in protocol["train"]


def test_config_holds_every_field_and_data_is_taken_by_its_shape():
  config = spec(KNN, train=None, test=None, k=(5,))
  assert config.name == "knn" and config.every == 0 and config.temperature == (0.07, 0.1)
  assert is_bearable(blobs(5), Examples) and not is_bearable({"image": 1}, Examples)


def test_texts_are_classified_as_images_are():
  train, test = labelled_texts(60, seed=1), labelled_texts(21, seed=2)
  outcome = KNN(train=train, test=test, k=(5,), temperature=(0.1,)).outcome(classes_seen())
  assert outcome.metrics["top1_k5_t0.1"] > 0.9 and outcome.confusion.sum() == 21
