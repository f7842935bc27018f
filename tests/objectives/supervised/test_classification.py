import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from fake_sounds import FIRST, HOP, ArraySounds, TinySound, spoken
from fake_texts import (
  ArrayTexts,
  TinyText,
  random_texts,
  text_of,
  tokenizer_of_size,
  word_tokenizer,
)
from flax import nnx

from pretrainjax.augment import mixing
from pretrainjax.errors import UserError
from pretrainjax.evaluators.features import extract_features
from pretrainjax.models.bert import BERT
from pretrainjax.models.gpt import GPT
from pretrainjax.models.heads import Head

# A key's bias moves all weights of a query alike, which the softmax undoes.
UNREACHED = {"encoder.blocks.attention.key.bias"}


def _batch():
  return {"image": tiny.images(), "label": tiny.labels()}


def _cross_entropy(logits, target):
  logits = np.asarray(logits, np.float64)
  return -(target * (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))).sum(axis=1).mean()


def _logits(done, images):
  return tiny.call(done, lambda module, x: module.head(module.encoder(x).pooled), images)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_metrics_equal_the_reference(smoothing):
  batch = _batch()
  metrics = tiny.metrics_of(tiny.classification(label_smoothing=smoothing), batch)
  logits = _logits(tiny.run(tiny.classification(), batch), batch["image"])
  target = np.eye(4)[batch["label"]] * (1 - smoothing) + smoothing / 4
  np.testing.assert_allclose(metrics["loss"], _cross_entropy(logits, target), rtol=1e-4)
  right = (np.asarray(logits).argmax(axis=1) == batch["label"]).mean()
  np.testing.assert_allclose(metrics["accuracy"], right, atol=1e-6)


def test_mixed_labels_equal_the_reference_and_have_no_accuracy():
  batch = _batch()
  metrics = tiny.metrics_of(tiny.classification(mixup_alpha=0.8, cutmix_alpha=1.0), batch)
  done = tiny.run(tiny.classification(), batch)
  mixed, labels = tiny.jit(
    lambda: mixing.mixup_or_cutmix(
      jnp.asarray(batch["image"], jnp.float32) / 255,
      jax.nn.one_hot(jnp.asarray(batch["label"]), 4),
      mixup_alpha=0.8,
      cutmix_alpha=1.0,
      key=nnx.Rngs(tiny.KEY).mix(),
    )
  )()
  expected = _cross_entropy(_logits(done, (mixed - 0.5) / 0.5), np.asarray(labels))
  np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)
  assert "accuracy" not in metrics


def test_full_tuning_reaches_every_parameter():
  objective = tiny.classification()
  done = tiny.run(objective, _batch())
  assert not tiny.without_gradient(done.gradient)
  assert objective.is_trained(("encoder", "norm", "scale"))


def test_linear_tuning_reaches_the_head_alone():
  objective = tiny.classification(
    backbone=tiny.small_resnet, head={"in_dim": 64, "batch_norm": True}, tune="linear"
  )
  (_, before), _ = tiny.start(objective)
  done = tiny.run(objective, _batch())
  assert not any(g.any() for g in jax.tree.leaves(done.gradient["encoder"]))
  assert all(g.any() for g in jax.tree.leaves(done.gradient["head"]))
  assert not objective.is_trained(("encoder", "stem_conv", "kernel"))
  assert objective.is_trained(("head", "classifier", "kernel"))
  # The encoder's batch statistics stay; those of the head's own BatchNorm move.
  jax.tree.map(np.testing.assert_array_equal, done.extras["encoder"], before["encoder"])
  assert (done.extras["head"]["norm"]["mean"] != before["head"]["norm"]["mean"]).any()


def test_linear_tuning_sees_the_features_of_evaluation():
  keys = [jax.random.key(k) for k in range(3)]
  for tune, num_values in (("linear", 1), ("full", 3)):
    objective = tiny.classification(backbone=tiny.vit(drop_path=0.5), tune=tune)
    losses = {float(tiny.metrics_of(objective, _batch(), k)["loss"]) for k in keys}
    assert len(losses) == num_values


def test_overfits_one_batch():
  first, last = tiny.overfit(tiny.classification(), _batch())
  assert first["accuracy"] < 0.8 and last["accuracy"] == 1 and last["loss"] < 0.1


def text_classification(**changes):
  head = functools.partial(Head, in_dim=8, num_classes=4, hidden_dim=6, init_std=0.5)
  return dataclasses.replace(tiny.classification(**changes), backbone=TinyText, head=head)


def test_texts_are_classified_as_images_are():
  objective, batch = text_classification(), random_texts(8) | {"label": tiny.labels()}
  done = tiny.run(objective, batch)
  logits = _logits(done, text_of(batch))
  expected = _cross_entropy(logits, np.eye(4)[batch["label"]])
  np.testing.assert_allclose(done.metrics["loss"], expected, rtol=1e-4)
  assert not tiny.without_gradient(done.gradient)
  _, last = tiny.overfit(objective, batch, num_steps=100)
  assert last["accuracy"] == 1 and last["loss"] < 0.1


@pytest.mark.parametrize("model, pool", [(BERT, "cls"), (GPT, "last")])
def test_encoders_of_text_learn_whole(model, pool):
  sizes = {"vocab_size": 20, "max_length": 8, "embed_dim": 8, "num_layers": 1, "num_heads": 2}
  backbone = functools.partial(model, **sizes, mlp_dim=16, pool=pool)
  objective = dataclasses.replace(text_classification(), backbone=backbone)
  batch = random_texts(8) | {"label": tiny.labels()}
  batch["types"] = batch["segments"] * (np.arange(8) > 3)[None].astype(np.int32)
  assert tiny.without_gradient(tiny.run(objective, batch).gradient) <= UNREACHED


def test_texts_cannot_be_mixed():
  batch = random_texts(8) | {"label": tiny.labels()}
  with pytest.raises(
    UserError, match="config.objective.cutmix_alpha: found 1.0 for a TinyText, .* only images"
  ):
    tiny.metrics_of(text_classification(cutmix_alpha=1.0), batch)


def test_refuses_what_is_out_of_range_or_does_not_fit():
  for name, value in [("label_smoothing", 1.0), ("mixup_alpha", -0.5)]:
    with pytest.raises(ValueError, match=f"{name}={value}: expected"):
      tiny.classification(**{name: value})
  with pytest.raises(UserError, match="head.num_classes: found 7, expected 4"):
    nnx.eval_shape(lambda: tiny.classification(head={"num_classes": 7}).init(rngs=nnx.Rngs(0)))


def test_data_that_does_not_fit_is_refused():
  def check(*, objective=None, **data):
    fields = {"arrays": {}, "num_classes": 4, "tokenizer": word_tokenizer("a b")} | data
    (objective or text_classification()).check(ArrayTexts(**fields))

  check()
  with pytest.raises(UserError, match="config.data: found no labels"):
    check(num_classes=0)
  with pytest.raises(UserError, match="objective.num_classes: found 4, expected 2"):
    check(num_classes=2)
  with pytest.raises(UserError, match="backbone.vocab_size: found 20, expected at least 99"):
    check(tokenizer=tokenizer_of_size(99))
  with pytest.raises(UserError, match="objective.mixup_alpha: found 0.5 for a TinyText"):
    check(objective=text_classification(mixup_alpha=0.5))


def _sounds():
  """Utterances, whose class is the first letter that is said."""
  examples = spoken(8, longest=3)
  first = np.where(examples["tokens"][:, 1] >= FIRST, examples["tokens"][:, 1] - FIRST, 0)
  names = ("audio", "num_samples")
  return {name: examples[name] for name in names} | {"label": first.astype(np.int32)}


def test_utterances_are_classified_by_their_pooled_feature():
  objective = tiny.classification(backbone=functools.partial(TinySound, embed_dim=16))
  batch = _sounds()
  objective.check(ArraySounds(batch, num_classes=4))
  words = word_tokenizer("a b")
  objective.check(
    ArraySounds(batch, tokenizer=words, num_classes=4)
  )  # transcripts are no hindrance
  assert tiny.metrics_of(objective, batch)["loss"] > 1
  padded = batch | {"audio": np.pad(batch["audio"], ((0, 0), (0, 4 * HOP)), constant_values=99)}
  expected = tiny.metrics_of(objective, batch)["loss"]
  np.testing.assert_allclose(tiny.metrics_of(objective, padded)["loss"], expected, rtol=1e-5)
  _, last = tiny.overfit(objective, batch, num_steps=100, learning_rate=0.03)
  assert last["accuracy"] == 1
  with pytest.raises(UserError, match="mixup_alpha: found 0.5 for a TinySound, expected 0"):
    tiny.classification(backbone=TinySound, mixup_alpha=0.5).init(rngs=nnx.Rngs(0))


def test_features_of_utterances_are_those_of_the_encoder():
  encoder, batch = TinySound(rngs=nnx.Rngs(0)), _sounds()
  found = extract_features(encoder, ArraySounds(batch, num_classes=4, batch_size=3))
  expected = encoder((batch["audio"], batch["num_samples"])).pooled
  np.testing.assert_allclose(found.features, expected, rtol=1e-5)
  np.testing.assert_array_equal(found.labels, batch["label"])
