"""Sounds of any length through a Whisper, whose network is a script here, or random."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives
import whispers

from pretrainjax.checkpoint.encoder import load
from pretrainjax.errors import UserError
from pretrainjax.generation.transcriber import Written
from pretrainjax.generation.whisper import Whisper, Writing, is_whisper, repetition
from pretrainjax.models.layers.attention import Remembered
from pretrainjax.models.whisper import Heard

RATE, STEP = 16_000, 320
WINDOW = whispers.LENGTH * STEP


class Script:
  """Writes down the letters that samples spell, as Whisper does: the last one may be cut off.

  A letter sounds for some tokens with its number as the samples' value; zeros are pauses.
  """

  def __init__(self, *, silence=(), bad_first=False):
    self.silence, self.bad_first, self.rounds, self.rows = silence, bad_first, 0, []
    self.temperatures = []

  def hear(self, sound):
    self.rounds += 1
    self.rows.append(len(sound.audio))
    keys = jnp.asarray(sound.audio, jnp.float32)[:, None, None]  # B 1 1 S
    counts = jnp.asarray(sound.num_samples, jnp.float32)[:, None, None, None]
    return Heard((Remembered(keys, counts * jnp.ones((1, 1, WINDOW, 1))),), None)

  def write(self, heard, prompts, *, wanted, temperature, keys):
    self.temperatures.append(temperature)
    audio = np.asarray(heard.layers[0].keys, np.int16)[:, 0, 0]
    counts = np.asarray(heard.layers[0].values, np.int32)[:, 0, 0, 0]
    is_bad = self.bad_first and temperature < 0.3
    texts = [self._text(row[:n]) for row, n in zip(audio, counts, strict=True)]
    texts = [[*text[:1], *whispers.ids("ab" * 60)] if is_bad else text for text in texts]
    tokens = np.full((len(texts), 200), whispers.END, np.int32)
    for row, text in enumerate(texts):
      tokens[row, : len(text)] = text
    silent = np.array([bool(set(np.unique(row)) & {*self.silence}) for row in audio])
    scores = np.where(silent, -2.0, -0.1)
    lengths = np.array([len(text) for text in texts], np.int32)
    return Written(*map(jnp.asarray, (tokens, lengths, scores, np.where(silent, 0.9, 0.1))))

  def _text(self, samples):
    steps = samples[::STEP]
    changes = np.flatnonzero(np.diff(steps, prepend=0, append=0))
    text = []
    for begin, end in zip(changes[:-1], changes[1:], strict=True):
      if steps[begin]:
        text += [whispers.FIRST_TIME + begin, *whispers.ids(chr(steps[begin]))]
        is_cut = len(samples) == WINDOW and end == len(steps)
        text += [] if is_cut else [whispers.FIRST_TIME + end]
    return text


def spoken(letters, rng):
  """A sound of letters with pauses between, as long as words are."""
  parts = []
  for letter in letters:
    parts += [np.full(STEP * rng.integers(2, 9), ord(letter)), np.zeros(STEP * rng.integers(1, 6))]
  return np.concatenate(parts).astype(np.int16)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
  return Whisper(load(f"hf:{whispers.make(tmp_path_factory.mktemp('whisper'))}"))


@pytest.fixture
def scripted(whisper, monkeypatch):
  def made(**options):
    script = Script(**options)
    monkeypatch.setattr(whisper, "_transcriber", script)
    return whisper, script

  return made


def test_a_long_sound_has_each_word_once_and_at_its_time(scripted):
  whisper, script = scripted()
  rng = np.random.default_rng(0)
  letters = "".join(rng.choice(list("abcdefgh"), 150))
  sound = spoken(letters, rng)
  found = whisper.transcribe(sound)
  assert found.text == letters and script.rounds > len(sound) / WINDOW > 20
  for segment, letter in zip(found.segments, letters, strict=True):
    begin, end = round(segment.begin * RATE), round(segment.end * RATE)
    assert (sound[begin:end] == ord(letter)).all()
    assert sound[end] == 0 and (begin == 0 or sound[begin - 1] == 0)


def test_many_sounds_are_heard_together_and_each_says_the_same_as_alone(scripted):
  whisper, script = scripted()
  rng = np.random.default_rng(0)
  texts = ["abcdefghabcdefgh", "b", "cd", "e" * 9, "f", "gh"]
  sounds = [spoken(text, rng) for text in texts]
  told = []
  found = list(whisper.transcribe_all(sounds, writing=Writing(batch_size=3), tell=told.append))
  assert {one.sound: one.text for one in found} == dict(enumerate(texts))
  assert found[0].sound == 1 and max(script.rows) == 4
  assert sum(told) == pytest.approx(sum(map(len, sounds)) / RATE)


def test_silence_is_left_out(scripted):
  whisper, script = scripted(silence=(ord("x"),))
  rng = np.random.default_rng(0)
  quiet = np.zeros(3 * WINDOW, np.int16)
  hum = np.full(WINDOW, ord("x"), np.int16)
  hum[-1] = 0
  sound = np.concatenate([quiet, hum, spoken("ab", rng)])
  assert whisper.transcribe(sound).text == "ab"
  assert script.rounds < 6  # of three windows nothing is asked
  assert whisper.transcribe(hum, writing=Writing(no_speech=0.95)).text == "x"
  assert whisper.transcribe(quiet[:0]).segments == []


def test_what_repeats_is_written_anew(scripted):
  whisper, script = scripted(bad_first=True)
  sound = spoken("c", np.random.default_rng(0))
  assert whisper.transcribe(sound).text == "c" and script.temperatures == [0.0, 0.2, 0.4]
  only = Writing(temperatures=(0.2,))
  assert whisper.transcribe(sound, writing=only).text == "ab" * 60  # nothing better is there
  assert repetition("ab" * 60) > 2.4 > repetition("Please leave your message.")


def test_random_values_end_and_do_not_depend_on_other_sounds(whisper):
  rng = np.random.default_rng(0)
  sounds = [rng.integers(-9000, 9000, n).astype(np.int16) for n in (9000, 5000)]
  writing = Writing(temperatures=(0.4,), batch_size=2)
  found = sorted(whisper.transcribe_all(sounds, writing=writing), key=lambda one: one.sound)
  assert [one.sound for one in found] == [0, 1]
  for one, samples in zip(found, sounds, strict=True):
    times = [0.0, *(time for segment in one.segments for time in segment[1:]), len(samples) / RATE]
    assert (np.diff(times) > -1e-9).all()
  alone = list(whisper.transcribe_all(sounds, writing=Writing(temperatures=(0.4,), batch_size=1)))
  assert [one.text for one in alone] == [one.text for one in found]


def test_the_language_is_heard(tmp_path):
  whisper = Whisper(load(f"hf:{whispers.make(tmp_path, is_multilingual=True)}"))
  sound = np.random.default_rng(0).integers(-9000, 9000, 3000).astype(np.int16)
  quick = {"temperatures": (), "batch_size": 1}
  heard = whisper.transcribe(sound, writing=Writing(**quick))
  given = whisper.transcribe(sound, writing=Writing(language=heard.language, **quick))
  assert heard.language in ("en", "de") and heard == given
  with pytest.raises(UserError, match="--language: found fr"):
    whisper.transcribe(sound, writing=Writing(language="fr"))


def test_other_models_are_refused(tmp_path):
  import their_folders

  loaded = load(f"hf:{their_folders.make(tmp_path)}")
  assert not is_whisper(loaded)
  with pytest.raises(UserError, match="is a model of .*encoder.*, expected a Whisper"):
    Whisper(loaded)


def test_a_recogniser_of_ctc_with_such_networks_is_none(tmp_path):
  loaded = load(f"hf:{whispers.make(tmp_path)}")
  assert is_whisper(loaded)
  ctc = dataclasses.replace(loaded, objective=tiny_objectives.attention_ctc(), source="run")
  assert not is_whisper(ctc)
  with pytest.raises(UserError, match="is a run of AttentionCTC, expected a Whisper"):
    Whisper(ctc)
