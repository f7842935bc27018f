import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from fake_sounds import END, FIRST, HOP, ArraySounds, spoken
from fake_texts import tokenizer_of_size, word_tokenizer
from flax import nnx
from scipy.special import log_softmax

from pretrainjax.errors import UserError

START, SIZE = 0, FIRST + 4


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_loss_is_that_of_labels_and_ends_beside_ctc(label_smoothing):
  examples = spoken(5)
  objective = tiny.attention_ctc(label_smoothing=label_smoothing)
  done = tiny.run(objective, examples)
  losses, right = [], []
  for row, tokens in enumerate(examples["tokens"]):
    said = tokens[tokens >= FIRST].tolist()
    frames = examples["num_samples"][row] // HOP
    if not frames:
      continue  # nothing is heard
    audio = examples["audio"][row : row + 1, : frames * HOP]  # alone, without any padding

    def scores(module, audio, read):
      tokens = module.encoder((audio, jnp.asarray([audio.shape[1]]))).tokens
      return module.decoder.logits(module.decoder(read, tokens))[0]

    read = jnp.asarray([[START, *said]], jnp.int32)
    chances = log_softmax(np.asarray(tiny.call(done, scores, audio, read), np.float64), axis=-1)
    for chance, label in zip(chances, [*said, END], strict=True):
      uniform = label_smoothing * chance.mean()
      losses.append(-(1 - label_smoothing) * chance[label] - uniform)
      right.append(chance.argmax() == label)
  np.testing.assert_allclose(done.metrics["attention_loss"], np.mean(losses), rtol=1e-4)
  np.testing.assert_allclose(done.metrics["attention_accuracy"], np.mean(right), atol=1e-6)
  ctc, attention = done.metrics["ctc_loss"], done.metrics["attention_loss"]
  np.testing.assert_allclose(done.metrics["loss"], 0.3 * ctc + 0.7 * attention, rtol=1e-6)


def test_its_ctc_is_that_of_ctc():
  examples = spoken(5)
  done = tiny.run(tiny.attention_ctc(), examples)

  def without_decoder(module, batch, key):
    return tiny.recognition().loss(module, batch, rngs=nnx.Rngs(key), step=0)

  alone, metrics = tiny.call(done, without_decoder, examples, tiny.KEY)
  np.testing.assert_allclose(done.metrics["ctc_loss"], alone, rtol=1e-5)
  for name in ("blank", "left_out", "feature_std"):
    np.testing.assert_allclose(done.metrics[name], metrics[name], rtol=1e-5)


def test_what_cannot_be_aligned_is_left_out_of_both():
  examples = spoken(5)
  short = {name: array.copy() for name, array in examples.items()}
  short["num_samples"][[1, 3]] = [0, HOP]
  kept = {name: np.delete(array, [1, 3], axis=0) for name, array in examples.items()}
  found, expected = (tiny.metrics_of(tiny.attention_ctc(), x) for x in (short, kept))
  for name in ("loss", "attention_loss", "attention_accuracy"):
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
  np.testing.assert_allclose(found["left_out"], 0.4, rtol=1e-6)


def test_padding_changes_nothing():
  examples, longer = spoken(5), spoken(5, num_frames=19)
  longer["num_samples"] = examples["num_samples"]
  longer |= {n: np.pad(longer[n], ((0, 0), (0, 3))) for n in ("tokens", "segments")}
  real = np.arange(longer["audio"].shape[1])[None] < longer["num_samples"][:, None]
  longer["audio"] = np.where(real, longer["audio"], 999).astype(np.int16)
  found, expected = (tiny.metrics_of(tiny.attention_ctc(), x) for x in (longer, examples))
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5)


def test_it_reaches_every_parameter_and_overfits_one_batch():
  examples, objective = spoken(5), tiny.attention_ctc()
  assert not tiny.without_gradient(tiny.run(objective, examples).gradient)
  first, last = tiny.overfit(objective, examples, num_steps=150)
  assert first["attention_loss"] > 2 and last["attention_accuracy"] == 1, (first, last)
  assert last["ctc_loss"] < 0.5 * first["ctc_loss"]


def test_what_does_not_fit_is_refused():
  for changes, message in (
    ({"vocab_size": 5}, "decoder.vocab_size: found 5, expected 9"),
    ({"embed_dim": 8}, "decoder.embed_dim: found 8, expected 16"),
    ({"hears_padding": True}, "decoder.hears_padding: found True, expected False"),
  ):
    with pytest.raises(UserError, match=message):
      objective = tiny.attention_ctc(decoder=changes)
      nnx.eval_shape(lambda o=objective: o.init(rngs=nnx.Rngs(0)))
  with pytest.raises(ValueError, match="ctc_weight=1.5"):
    tiny.attention_ctc(ctc_weight=1.5)


def test_data_that_does_not_fit_is_refused():
  data = ArraySounds(spoken(5), tokenizer_of_size(SIZE))
  tiny.attention_ctc().check(data)
  with pytest.raises(UserError, match="vocab_size: found 9, expected at least 10"):
    tiny.attention_ctc().check(ArraySounds(spoken(5), tokenizer_of_size(SIZE + 1)))
  words = ArraySounds(spoken(5), word_tokenizer("a b c d"))
  with pytest.raises(UserError, match="end_id: found 6, which is 'b' .* such as 3"):
    tiny.attention_ctc(decoder={"end_id": 6}).check(words)
