import numpy as np
import pytest
import tiny_objectives as tiny
from fake_texts import ArrayTexts, text_of, word_tokenizer
from flax import nnx

from pretrainjax.errors import UserError


def test_loss_is_the_mean_over_scored_tokens():
  examples = tiny.tagged()
  done = tiny.run(tiny.tagging(), examples)
  logits = tiny.call(done, lambda m, x: m.head(m.encoder(x).tokens), text_of(examples))
  logits = np.asarray(logits, np.float64)
  scored = examples["tags"] >= 0
  normalised = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
  chosen = np.take_along_axis(normalised, np.maximum(examples["tags"], 0)[..., None], axis=-1)
  np.testing.assert_allclose(done.metrics["loss"], -chosen[..., 0][scored].mean(), rtol=1e-5)
  hits = (logits.argmax(-1) == examples["tags"])[scored].mean()
  np.testing.assert_allclose(done.metrics["accuracy"], hits, rtol=1e-5)


def test_tags_that_are_not_scored_change_nothing():
  examples = tiny.tagged()
  more = {name: np.concatenate([x, x]) for name, x in examples.items()}
  more["tags"][6:] = -1
  losses = [tiny.metrics_of(tiny.tagging(), x)["loss"] for x in (examples, more)]
  np.testing.assert_allclose(*losses, rtol=1e-6)
  nothing = examples | {"tags": np.full_like(examples["tags"], -1)}
  assert tiny.metrics_of(tiny.tagging(), nothing)["loss"] == 0


def test_it_reaches_every_parameter_and_overfits_one_batch():
  assert not tiny.without_gradient(tiny.run(tiny.tagging(), tiny.tagged()).gradient)
  first, last = tiny.overfit(tiny.tagging(), tiny.tagged())
  assert first["accuracy"] < 0.8 and last["accuracy"] == 1 and last["loss"] < 0.1


def test_what_does_not_fit_is_refused():
  with pytest.raises(UserError, match="head.num_classes: found 5, expected 3"):
    nnx.eval_shape(lambda: tiny.tagging({"num_classes": 5}).init(rngs=nnx.Rngs(0)))
  with pytest.raises(UserError, match="head.batch_norm: found True, expected False"):
    nnx.eval_shape(lambda: tiny.tagging({"batch_norm": True}).init(rngs=nnx.Rngs(0)))


def test_data_that_does_not_fit_is_refused():
  tokenizer = word_tokenizer("a b")
  tiny.tagging().check(ArrayTexts({}, tag_names=("O", "B-A", "I-A"), tokenizer=tokenizer))
  with pytest.raises(UserError, match="config.data: found no tags"):
    tiny.tagging().check(ArrayTexts({}, tokenizer=tokenizer))
  with pytest.raises(UserError, match="objective.num_classes: found 3, expected 1"):
    tiny.tagging().check(ArrayTexts({}, tag_names=("O",), tokenizer=tokenizer))
