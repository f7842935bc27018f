import functools
import types

import numpy as np
import pytest
import tiny_objectives as tiny
from fake_texts import TinyText, random_texts, text_of
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.models.heads import Head
from pretrainjax.objectives.supervised.regression import Regression


def regression(num_classes=1, **changes):
  head = functools.partial(Head, in_dim=8, num_classes=num_classes, init_std=0.5)
  return Regression(backbone=TinyText, head=head, **changes)


def batch():
  scores = np.random.default_rng(0).uniform(1, 5, 6).astype(np.float32)
  return random_texts(6) | {"score": scores}


def test_loss_is_the_squared_error_of_scaled_scores():
  objective, examples = regression(score_range=(1, 5)), batch()
  done = tiny.run(objective, examples)
  outputs = tiny.call(done, lambda m, x: m.head(m.encoder(x).pooled), text_of(examples))
  scaled = (examples["score"] - 1) / 4
  expected = np.mean((np.asarray(outputs)[:, 0] - scaled) ** 2)
  np.testing.assert_allclose(done.metrics["loss"], expected, rtol=1e-5)
  scores = tiny.call(done, lambda m, x: m.scores(m.encoder(x).pooled), text_of(examples))
  error = np.abs(scores - examples["score"]).mean()
  np.testing.assert_allclose(done.metrics["absolute_error"], error, rtol=1e-5)


def test_it_reaches_every_parameter_and_overfits_one_batch():
  objective = regression(score_range=(1, 5))
  assert not tiny.without_gradient(tiny.run(objective, batch()).gradient)
  first, last = tiny.overfit(objective, batch(), num_steps=100)
  assert last["loss"] < 0.05 * first["loss"] and last["absolute_error"] < 0.3


def test_linear_tuning_leaves_the_encoder_alone():
  objective = regression(tune="linear")
  assert not objective.is_trained(("encoder", "mix", "kernel"))
  untouched = tiny.without_gradient(tiny.run(objective, batch()).gradient)
  assert {name.split(".")[0] for name in untouched} == {"encoder"}


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match=r"score_range: found \(5, 1\)"):
    regression(score_range=(5, 1))
  with pytest.raises(UserError, match="head.num_classes: found 3, expected 1"):
    nnx.eval_shape(lambda: regression(num_classes=3).init(rngs=nnx.Rngs(0)))


def test_data_without_scores_is_refused():
  for features, fits in (({"score"}, True), ({"label"}, False)):
    source = types.SimpleNamespace(has=features.__contains__)
    data = types.SimpleNamespace(sources=(source,), tokenizer=None)
    if fits:
      regression().check(data)
    else:
      with pytest.raises(UserError, match="config.data: found no scores"):
        regression().check(data)
