import types

import numpy as np
import pytest
import tiny_objectives as tiny
from fake_texts import text_of, word_tokenizer
from flax import nnx

from pretrainjax.errors import UserError


def reference(logits, examples):
  """Means over rows with a span, by NumPy: (loss, share of spans that are right)."""
  losses, hits = [], []
  for row, span in enumerate(examples["span"]):
    if span[0] < 0:
      continue
    real = examples["segments"][row] > 0
    scores = np.asarray(logits[row], np.float64)[real]  # padding is at the end
    chosen = scores - np.log(np.exp(scores).sum(axis=0))
    losses.append(-(chosen[span[0], 0] + chosen[span[1], 1]) / 2)
    hits.append((scores.argmax(axis=0) == span).all())
  return np.mean(losses), np.mean(hits)


def test_loss_is_the_mean_over_rows_with_a_span_and_without_padding():
  examples = tiny.asked()
  done = tiny.run(tiny.answering(), examples)
  assert (examples["segments"] == 0).any() and (examples["span"][:, 0] < 0).sum() == 1
  logits = tiny.call(done, lambda m, x: m.logits(m.encoder(x).tokens), text_of(examples))
  loss, hits = reference(np.asarray(logits), examples)
  np.testing.assert_allclose(done.metrics["loss"], loss, rtol=1e-5)
  np.testing.assert_allclose(done.metrics["accuracy"], hits, rtol=1e-5)
  assert not tiny.without_gradient(done.gradient)


def test_rows_that_nobody_knows_change_nothing():
  examples = tiny.asked()
  known = {name: array[:-1] for name, array in examples.items()}
  losses = [tiny.metrics_of(tiny.answering(), x)["loss"] for x in (examples, known)]
  np.testing.assert_allclose(*losses, rtol=1e-6)
  nothing = examples | {"span": np.full_like(examples["span"], -1)}
  assert tiny.metrics_of(tiny.answering(), nothing)["loss"] == 0


def test_longer_rows_have_the_same_loss():
  examples = tiny.asked()
  short = {n: a if n == "span" else a[:, :-2] for n, a in examples.items()}
  short["segments"][:, -1] = 0
  long = {n: a if n == "span" else np.pad(a, ((0, 0), (0, 2))) for n, a in short.items()}
  losses = [tiny.metrics_of(tiny.answering(), x)["loss"] for x in (short, long)]
  np.testing.assert_allclose(*losses, rtol=1e-5)


def test_it_overfits_one_batch():
  first, last = tiny.overfit(tiny.answering(), tiny.asked())
  assert first["accuracy"] < 0.8 and last["accuracy"] == 1 and last["loss"] < 0.2


def test_a_linear_probe_trains_the_head_alone():
  objective = tiny.answering(tune="linear")
  done = tiny.run(objective, tiny.asked())
  assert all(path.startswith("encoder") for path in tiny.without_gradient(done.gradient))
  assert objective.is_trained(("head", "classifier", "kernel"))
  assert not objective.is_trained(("encoder", "norm", "scale"))


def test_what_does_not_fit_is_refused():
  with pytest.raises(UserError, match="head.num_classes: found 3, expected 2"):
    nnx.eval_shape(lambda: tiny.answering({"num_classes": 3}).init(rngs=nnx.Rngs(0)))
  with pytest.raises(UserError, match="head.batch_norm: found True, expected False"):
    nnx.eval_shape(lambda: tiny.answering({"batch_norm": True}).init(rngs=nnx.Rngs(0)))


def test_data_that_does_not_fit_is_refused():
  def data(**facts):
    facts = {"has": lambda name: True, "tokenizer": word_tokenizer("a b"), "pair": "joint"} | facts
    return types.SimpleNamespace(**facts)

  tiny.answering().check(data())
  with pytest.raises(UserError, match="config.data: found no spans"):
    tiny.answering().check(data(has=lambda name: False))
  with pytest.raises(UserError, match="config.data.pair: found 'first', expected 'joint'"):
    tiny.answering().check(data(pair="first"))
  many = word_tokenizer(" ".join(f"w{i}" for i in range(40)))
  with pytest.raises(UserError, match="vocab_size: found 29, expected at least 45"):
    tiny.answering().check(data(tokenizer=many))
