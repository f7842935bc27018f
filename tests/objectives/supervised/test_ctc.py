import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from fake_sounds import BLANK, FIRST, HOP, SPECIAL_IDS, ArraySounds, spoken
from fake_texts import tokenizer_of_size, word_tokenizer
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.losses.ctc import can_align, ctc_loss
from pretrainjax.types import Batch

SIZE = FIRST + 4


def batch(**sizes) -> Batch:
  return spoken(10, **sizes)


def logits_of(done, examples):
  inputs = tuple(jnp.asarray(examples[name]) for name in ("audio", "num_samples"))
  return np.asarray(tiny.call(done, lambda m, x: m.head(m.encoder(x).tokens), inputs))


def test_loss_is_that_of_all_labels_that_are_said():
  examples = batch()
  done = tiny.run(tiny.recognition(), examples)
  logits = logits_of(done, examples)
  total = count = 0.0
  for row, tokens in enumerate(examples["tokens"]):
    said = tokens[tokens >= FIRST][None]
    one = logits[row : row + 1, : examples["num_samples"][row] // HOP]
    masks = {"valid": jnp.ones(one.shape[:2], bool), "present": jnp.ones(said.shape, bool)}
    if said.size:  # an empty transcript has one path, of blanks
      total += float(ctc_loss(jnp.asarray(one), jnp.asarray(said), **masks)[0])
    else:
      total -= float(jax.nn.log_softmax(one, axis=-1)[0, :, BLANK].sum())
    count += max(said.size, 1)
  np.testing.assert_allclose(done.metrics["loss"], total / count, rtol=1e-4)
  frames = np.arange(logits.shape[1])[None] < (examples["num_samples"] // HOP)[:, None]
  blank = (logits.argmax(-1) == BLANK)[frames].mean()
  np.testing.assert_allclose(done.metrics["blank"], blank, rtol=1e-5)
  assert done.metrics["left_out"] == 0


def test_rows_with_too_few_frames_are_left_out_and_counted():
  examples = batch()
  short = {name: array.copy() for name, array in examples.items()}
  short["num_samples"][[1, 3]] = [0, HOP]
  kept = {name: np.delete(array, [1, 3], axis=0) for name, array in examples.items()}
  found, expected = (tiny.metrics_of(tiny.recognition(), x) for x in (short, kept))
  np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-5)
  np.testing.assert_allclose(found["left_out"], 0.2, rtol=1e-6)
  nothing = examples | {"num_samples": np.zeros_like(examples["num_samples"])}
  nothing = {name: array[1:4] for name, array in nothing.items()}
  done = tiny.run(tiny.recognition(), nothing)
  assert done.metrics["loss"] == 0 and done.metrics["left_out"] == 1
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(done.gradient))


def test_padding_changes_nothing():
  examples = batch()
  longer = batch(num_frames=19, longest=4)
  assert (longer["tokens"] == examples["tokens"]).all()
  longer["num_samples"] = examples["num_samples"]
  longer |= {n: np.pad(longer[n], ((0, 0), (0, 5))) for n in ("tokens", "segments")}
  real = np.arange(longer["audio"].shape[1])[None] < longer["num_samples"][:, None]
  longer["audio"] = np.where(real, longer["audio"], 999).astype(np.int16)
  found, expected = (tiny.metrics_of(tiny.recognition(), x) for x in (longer, examples))
  for name in ("loss", "blank", "left_out", "feature_std"):
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


def test_it_reaches_every_parameter_and_overfits_one_batch():
  examples = batch()
  assert not tiny.without_gradient(tiny.run(tiny.recognition(), examples).gradient)
  first, last = tiny.overfit(tiny.recognition(), examples, num_steps=150, learning_rate=0.03)
  assert first["loss"] > 2 and last["loss"] < 0.1, (first, last)


def test_shapes_are_known_without_computing():
  loss, (metrics, _) = jax.eval_shape(
    tiny.loss_fn(tiny.recognition(rate=0.1)), *tiny.start(tiny.recognition())[0], batch(), tiny.KEY
  )
  assert loss.shape == () and set(metrics) == {"loss", "left_out", "blank", "feature_std"}


def test_what_does_not_fit_is_refused():
  for changes, message in (
    ({"head": {"num_classes": 5}}, "head.num_classes: found 5, expected 9"),
    ({"head": {"batch_norm": True}}, "head.batch_norm: found True, expected False"),
    ({"head": {"in_dim": 5}}, "head.in_dim: found 5, expected 16"),
  ):
    with pytest.raises(UserError, match=message):
      nnx.eval_shape(lambda c=changes: tiny.recognition(**c).init(rngs=nnx.Rngs(0)))
  with pytest.raises(ValueError, match="blank_id=9: expected below vocab_size=9"):
    tiny.recognition(blank_id=SIZE)


def test_data_that_does_not_fit_is_refused():
  examples = batch()
  tokenizer = tokenizer_of_size(SIZE)
  tiny.recognition().check(ArraySounds(examples, tokenizer))
  tiny.recognition(vocab_size=SIZE + 1, blank_id=SIZE).check(ArraySounds(examples, tokenizer))
  for changes, tokens, message in (
    ({}, None, "config.data: found no transcripts"),
    ({}, tokenizer_of_size(SIZE + 1), "vocab_size: found 9, expected at least 10"),
    ({"blank_id": 6}, word_tokenizer("a b c d"), "blank_id: found 6, which is 'b' .* such as 0"),
    ({"special_ids": (0, 2, 3, 7)}, word_tokenizer("a b c d"), "found 7 among them, which is 'c'"),
  ):
    with pytest.raises(UserError, match=message):
      tiny.recognition(**changes).check(ArraySounds(examples, tokens))


def test_its_fakes_can_be_aligned():
  """Or the tests above would hold nothing."""
  examples = batch()
  valid = np.arange(12)[None] < (examples["num_samples"] // HOP)[:, None]
  present = ~np.isin(examples["tokens"], SPECIAL_IDS)
  arrays = jax.tree.map(jnp.asarray, {"valid": valid, "present": present})
  assert can_align(jnp.asarray(examples["tokens"]), **arrays).all()
  assert {0, 4} <= {int(n) for n in present.sum(axis=1)}
