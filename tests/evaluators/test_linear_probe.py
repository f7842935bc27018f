import logging

import jax.numpy as jnp
import numpy as np
import pytest
from fake_encoders import ArrayData, TinyEncoder, blobs, identity
from fake_texts import classes_seen, labelled_texts
from flax import nnx
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pretrainjax.evaluators.linear_probe import LinearProbe, held_out_rows

TRAIN, TEST = blobs(500, seed=1), blobs(300, seed=2, split="test")


def test_accuracy_equals_scikit_learn_at_the_same_penalty():
  metrics = LinearProbe(train=TRAIN, test=TEST, l2=(1e-2,)).run(identity())
  scaler = StandardScaler().fit(TRAIN.images.reshape(500, -1))
  peer = LogisticRegression(C=1 / (1e-2 * 500), tol=1e-8, max_iter=2000)
  peer.fit(scaler.transform(TRAIN.images.reshape(500, -1)), TRAIN.labels)
  expected = peer.score(scaler.transform(TEST.images.reshape(300, -1)), TEST.labels)
  assert metrics["top1"] == pytest.approx(expected, abs=2 / 300)
  assert metrics["l2"] == pytest.approx(1e-2)


def test_penalty_is_chosen_on_train_alone():
  # Many dimensions, few examples: a weak penalty overfits.
  encoder = TinyEncoder(12, embed_dim=64, rngs=nnx.Rngs(0))
  train = blobs(60, seed=1)
  evaluator = LinearProbe(train=train, test=TEST, l2=(1e2, 1e-1, 1e-6), held_out=0.3)
  chosen = evaluator.run(encoder)
  shuffled = ArrayData(TEST.images, np.roll(TEST.labels, 1), 7)
  same = LinearProbe(train=train, test=shuffled, l2=(1e2, 1e-1, 1e-6), held_out=0.3)
  assert same.run(encoder)["l2"] == chosen["l2"] == pytest.approx(1e-1)


def test_lars_comes_close_to_lbfgs(caplog):
  lars = LinearProbe(train=TRAIN, test=TEST, solver="lars", batch_size=64, learning_rate=16.0).run(
    identity()
  )
  assert "too few steps" not in caplog.text
  lbfgs = LinearProbe(train=TRAIN, test=TEST).run(identity())
  assert lars["top1"] > lbfgs["top1"] - 0.05
  shares = {"top1", "top5", "mean_per_class", "macro_f1"}
  assert set(lars) == shares | {"mcc", "nll", "calibration_error"}


def test_too_few_steps_for_lars_are_said(caplog):
  LinearProbe(train=TRAIN, test=TEST, solver="lars", epochs=2).run(identity())
  assert "too few steps for LARS on 500 examples" in caplog.text


def test_constant_features_are_at_chance():
  encoder = identity()
  encoder.linear.kernel.set_value(0 * encoder.linear.kernel[...])
  metrics = LinearProbe(train=TRAIN, test=TEST).run(encoder)
  assert metrics["top1"] == pytest.approx(1 / 7, abs=0.08)


def test_a_class_without_examples_is_said_and_survived(caplog):
  train = ArrayData(TRAIN.images, np.where(TRAIN.labels == 3, 2, TRAIN.labels), 7)
  with caplog.at_level(logging.WARNING):
    outcome = LinearProbe(train=train, test=TEST).outcome(identity())
  assert "train has no example of 1 of 7 classes" in caplog.text
  assert outcome.confusion[:, 3].sum() == 0 and np.isfinite(list(outcome.metrics.values())).all()


def test_an_absent_class_is_an_error_even_among_five_or_is_left_out():
  keep = TRAIN.labels < 3
  train = ArrayData(TRAIN.images[keep], TRAIN.labels[keep], 7)
  known = TEST.labels < 3
  wrong = LinearProbe(train=train, test=TEST, l2=(1e-2,)).outcome(identity())
  left_out = LinearProbe(train=train, test=TEST, l2=(1e-2,), absent_classes="left_out")
  fewer = left_out.outcome(identity())
  assert wrong.metrics["of_absent_classes"] == pytest.approx(np.mean(~known))
  assert fewer.metrics["of_absent_classes"] == wrong.metrics["of_absent_classes"]
  # Three classes are known: the true one is among the best five of these alone.
  assert wrong.metrics["top5"] == pytest.approx(known.mean()) and fewer.metrics["top5"] == 1.0
  assert wrong.metrics["top1"] == pytest.approx(fewer.metrics["top1"] * known.mean())
  assert wrong.metrics["nll"] == pytest.approx(fewer.metrics["nll"])
  assert wrong.confusion[:, 3:].sum() == 0 and fewer.confusion.sum() == known.sum()
  assert left_out.protocol()["absent_classes"] == "left_out"


def test_what_cannot_be_chosen_is_a_fixed_strength():
  first = [int(np.flatnonzero(TRAIN.labels == c)[0]) for c in range(7)]
  single = ArrayData(TRAIN.images[first], TRAIN.labels[first], 7)
  metrics = LinearProbe(train=single, test=TEST, fixed_l2=0.5).run(identity())
  assert metrics["l2"] == 0.5 and metrics["top1"] > 0.4
  assert LinearProbe(train=single, test=TEST, l2=(0.25,)).run(identity())["l2"] == 0.25


def test_a_class_of_one_example_keeps_it():
  labels = np.array([0, 1, 1, 2, 3, 3, 3, 3], np.int32)
  for seed in range(20):
    held = held_out_rows(labels, share=0.4, seed=seed)
    assert held.any() and set(labels[~held]) == {0, 1, 2, 3}
  assert not held_out_rows(np.arange(5, dtype=np.int32), share=0.4, seed=0).any()


def test_held_out_rows_are_of_each_class_alike():
  labels = np.repeat(np.arange(4), 50).astype(np.int32)
  held = held_out_rows(labels, share=0.2, seed=0)
  np.testing.assert_array_equal(np.bincount(labels[held]), 10)
  assert not np.array_equal(held, held_out_rows(labels, share=0.2, seed=1))


@pytest.mark.parametrize("count", [2, 3, 11])
def test_held_out_rows_leave_some_on_both_sides(count):
  for seed in range(20):
    held = held_out_rows(np.zeros(count, np.int32), share=0.1, seed=seed)
    assert 0 < held.sum() < count
  with pytest.raises(ValueError, match="expected at least 2"):
    held_out_rows(np.zeros(1, np.int32), share=0.1, seed=0)


@pytest.mark.parametrize(
  "field, value",
  [("l2", ()), ("l2", (-1.0,)), ("held_out", 1.0), ("learning_rate", 0.0)],
)
def test_bad_fields_are_refused(field, value):
  with pytest.raises(ValueError, match=f"{field}=.*expected"):
    LinearProbe(train=TRAIN, test=TEST, **{field: value})


def test_protocol_says_which_solver_and_only_its_fields():
  lbfgs = LinearProbe(train=TRAIN, test=TEST).protocol()
  lars = LinearProbe(train=TRAIN, test=TEST, solver="lars").protocol()
  assert "lbfgs" in lbfgs["probe"] and lbfgs["l2"] and "epochs" not in lbfgs
  assert "lars" in lars["probe"] and lars["epochs"] == 90 and "l2" not in lars
  assert lbfgs["absent_classes"] == lars["absent_classes"] == "wrong"
  assert lbfgs["fixed_l2"] == 1e-2 and "fixed_l2" not in lars
  assert jnp.float32(lars["learning_rate"]) == jnp.float32(0.1)


def test_texts_are_probed_as_images_are():
  train, test = labelled_texts(60, seed=1), labelled_texts(21, seed=2)
  metrics = LinearProbe(train=train, test=test, l2=(1e-2,)).run(classes_seen())
  assert metrics["top1"] > 0.9 and metrics["f1"] > 0.9
