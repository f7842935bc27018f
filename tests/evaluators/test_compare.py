import numpy as np
import pytest
from fake_encoders import Classifier, TinyEncoder, blobs, identity
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.evaluators.base import Evaluation
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.compare import RANDOM_INIT, TRAINED, Subject, compare
from pretrainjax.evaluators.knn import KNN
from pretrainjax.evaluators.linear_probe import LinearProbe


def random_encoder():
  encoder = TinyEncoder(12, rngs=nnx.Rngs(1))
  encoder.linear.kernel.set_value(nnx.Rngs(1).params.normal((12, 12)) / 12**0.5)
  return encoder


def test_rows_of_both_encoders_with_their_protocols_and_one_pass_each():
  train, test = blobs(500, seed=1), blobs(60, seed=2, split="test")
  evaluators = {
    "knn": KNN(train=train, test=test, k=(5,), temperature=(0.1,)),
    "probe": LinearProbe(train=train, test=test, l2=(1e-2,)),
    "collapse": Collapse(data=test),
  }
  result = compare(
    evaluators, Subject(identity()), Subject(random_encoder()), checkpoint="/w", step=7
  )
  # Once for each encoder, and the collapse sample once more of `test`.
  assert len(train.passes) == 2 and len(test.passes) == 4
  assert {(r.evaluator, r.encoder) for r in result.rows} == {
    (name, encoder) for name in evaluators for encoder in (TRAINED, RANDOM_INIT)
  }
  first = result.rows[0]
  assert (first.metric, first.step, first.checkpoint) == ("top1_k5_t0.1", 7, "/w")
  assert first.value == result.outcomes["knn"].metrics["top1_k5_t0.1"]
  assert first.protocol["k"] == [5]
  random_row = next(r for r in result.rows if r.encoder == RANDOM_INIT)
  assert random_row.step is None and random_row.protocol["random_seed"] == 0
  classes = [r for r in result.rows if r.metric.startswith("class/") and r.evaluator == "probe"]
  assert len(classes) == 14
  recall = np.diag(result.outcomes["probe"].confusion) / result.outcomes["probe"].confusion.sum(1)
  np.testing.assert_allclose([r.value for r in classes[:7]], recall)


def test_modules_go_to_the_evaluators_that_need_them():
  evaluators = {"accuracy": ClassificationAccuracy(data=blobs(30))}
  module = Classifier(12, 7, rngs=nnx.Rngs(0))
  result = compare(evaluators, Subject(module.encoder, module), checkpoint="/w", step=1)
  assert result.outcomes["accuracy"].metrics["top1"] >= 0
  with pytest.raises(UserError, match="evals.accuracy: needs the objective.s whole module"):
    compare(evaluators, Subject(module.encoder), checkpoint="/w", step=1)


def test_what_an_evaluator_refuses_is_told_in_one_line():
  class Refuses(Evaluation):
    def outcome(self, subject):
      raise ValueError("features of 3 of 8 examples\nare not finite")

  encoder = Classifier(12, 7, rngs=nnx.Rngs(0)).encoder
  with pytest.raises(UserError, match="config.evals.odd: features of 3 of 8 examples are not"):
    compare({"odd": Refuses(name="odd")}, Subject(encoder), checkpoint="/w", step=1)
