import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from fake_sounds import BLANK, END, FIRST, HOP, ArraySounds, TinySound, spoken
from fake_texts import word_tokenizer
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.evaluators.word_errors import WordErrors, error_rates
from pretrainjax.objectives.base import Towers
from pretrainjax.types import Encoded

TOKENIZER = word_tokenizer("a bc def ghij")


class Repeats(TinySound):
  """Its features are classes: what a row's samples say, one a frame."""

  def __call__(self, inputs, *, keep=None, deterministic=True, rngs=None):
    audio, num_samples = inputs
    frames = np.arange(audio.shape[1])[None] < num_samples[:, None]
    x = nnx.one_hot(audio, FIRST + 4)
    return Encoded(x, x[:, 0], frames)


class Same(nnx.Module):
  def __call__(self, features, **kwargs):
    return features


def sounds(paths, transcripts) -> ArraySounds:
  """Sounds whose samples are the classes of frames."""
  audio, tokens = np.zeros((len(paths), 8), np.int16), np.zeros((len(paths), 4), np.int32)
  for row, (path, ids) in enumerate(zip(paths, transcripts, strict=True)):
    audio[row, : len(path)], tokens[row, : len(ids)] = path, ids
  lengths = np.array(list(map(len, paths)), np.int32)
  arrays = {"audio": audio, "num_samples": lengths, "tokens": tokens}
  return ArraySounds(arrays | {"segments": (tokens > 0).astype(np.int32)}, TOKENIZER)


def recogniser():
  return Towers(encoder=Repeats(rngs=nnx.Rngs(0)), head=Same())


def test_errors_of_words_and_letters():
  # "a bc" heard as "a bc"; "def" as "def def" (a blank between); "bc a" as "a"; "" as nothing;
  # and "ghij", whose frames are cut before it, as nothing.
  paths = ([5, 5, 0, 6, 6], [7, 0, 7], [0, 5, 5], [0], [0])
  transcripts = ([2, 5, 6, 3], [7], [6, 5], [], [8])
  data = sounds(paths, transcripts)
  data.arrays["audio"][4, 1] = 8  # behind its end
  metrics = WordErrors(data=data).run(recogniser())
  assert metrics == {
    "wer": pytest.approx(3 / 6),
    "substitutions": 0.0,
    "deletions": pytest.approx(2 / 6),
    "insertions": pytest.approx(1 / 6),
    "cer": pytest.approx((4 + 3 + 4) / (4 + 3 + 4 + 4)),
    "exact": pytest.approx(2 / 5),
    "words": 6.0,
    "letters": 15.0,
  }


def by_hand(module, arrays, length=6):
  """What the decoder writes of each sound alone, read anew for each token."""

  @jax.jit
  def logits(audio, tokens):
    encoded = module.encoder((audio, jnp.asarray([audio.shape[1]])))
    return module.decoder.logits(module.decoder(tokens, encoded.tokens))[0]

  rows = []
  for audio, count in zip(arrays["audio"], arrays["num_samples"], strict=True):
    written = [BLANK]
    while len(written) < length and written[-1] != END:
      read = jnp.asarray([[*written, *[0] * (length - len(written))]], jnp.int32)
      scores = logits(audio[None, : count // HOP * HOP], read)
      written.append(int(scores[len(written) - 1].argmax()))
    rows.append(TOKENIZER.decode([token for token in written[1:] if token != END]))
  return rows


def test_what_a_decoder_writes():
  arrays = {name: array[1:] for name, array in spoken(3).items()}
  module = tiny.attention_ctc(decoder={"max_length": 6, "init_std": 0.9})
  module = nnx.jit(lambda: module.init(rngs=nnx.Rngs(2)))()
  evaluator = WordErrors(data=ArraySounds(arrays, TOKENIZER), decoding="attention")
  found = by_hand(module, arrays)
  assert len(set(found)) > 1, found
  right = [TOKENIZER.decode(row) for row in arrays["tokens"]]
  assert evaluator.run(module) == pytest.approx(error_rates(right, found))
  assert evaluator.protocol()["decoding"].startswith("the decoder's likeliest token")
  with pytest.raises(ValueError, match="found a Towers without 'decoder'"):
    evaluator.run(recogniser())


def test_another_blank_than_the_tokenizers_pad():
  data = sounds(([1, 5, 1],), ([5],))
  assert WordErrors(data=data, blank_id=1).run(recogniser())["wer"] == 0
  assert WordErrors(data=data, blank_id=6).run(recogniser())["wer"] == 0  # [UNK] is no text
  assert WordErrors(data=data, blank_id=5).run(recogniser())["wer"] == 1


def test_rates_are_sums_over_all_transcripts():
  found = error_rates(["a b c d", "e"], ["a x c", "e"])
  assert (found["wer"], found["substitutions"], found["deletions"]) == (2 / 5, 1 / 5, 1 / 5)
  assert error_rates(["", "a"], ["b b", "a"])["wer"] == 2.0  # what is said where nothing is
  with pytest.raises(ValueError, match="found no word in its transcripts"):
    error_rates(["", ""], ["a", ""])


def test_the_protocol_names_the_normalizer_and_the_split():
  protocol = WordErrors(data=sounds(([5],), ([5],)), normalizer="lower").protocol()
  assert protocol["normalizer"].startswith("lower: NFC, small letters")
  assert protocol["data"]["split"] == "test" and "no language model" in protocol["decoding"]


def test_data_without_transcripts_is_left_out():
  arrays = {name: array for name, array in spoken(4).items() if name != "tokens"}
  reason = WordErrors(data=ArraySounds(arrays)).reason_to_leave_out(key="config.evals.words")
  assert reason == "config.evals.words.data has no tokens"
  with pytest.raises(ValueError, match="found no tokenizer"):
    WordErrors(data=ArraySounds(spoken(4))).run(recogniser())
  with pytest.raises(ValueError, match="found a TinySound without 'encoder'"):
    WordErrors(data=ArraySounds(spoken(4))).run(TinySound(rngs=nnx.Rngs(0)))


def test_without_jiwer_the_command_is_told(monkeypatch):
  ours = builtins.__import__

  def no_jiwer(name, *arguments, **options):
    if name == "jiwer":
      raise ImportError(name)
    return ours(name, *arguments, **options)

  monkeypatch.setattr(builtins, "__import__", no_jiwer)
  with pytest.raises(UserError, match="need jiwer; pip install 'pretrainjax\\[audio\\]'"):
    WordErrors(data=sounds(([5],), ([5],))).check(recogniser())
  assert BLANK == TOKENIZER.pad_id
