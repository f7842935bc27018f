"""Sounds of any length, written down by a Whisper in segments with times."""

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int16

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.data.sound import RATE
from pretrainjax.errors import UserError
from pretrainjax.generation.time_tokens import STEP, cut
from pretrainjax.generation.transcriber import Transcriber, Written
from pretrainjax.generation.whisper_tokens import Task, WhisperTokens
from pretrainjax.models.whisper import Heard, WhisperDecoder, WhisperEncoder
from pretrainjax.objectives.supervised.ctc import CTC
from pretrainjax.ranges import PositiveInt, Seed, check_ranges
from pretrainjax.types import Sound

_SAMPLES = round(STEP * RATE)  # of a token of the encoder
_LEAST = 5 * _SAMPLES  # samples that a window moves on by


class Segment(NamedTuple):
  """Some words that were said one after the other.

  Attributes:
    text: the words, with the space before the first where there is one.
    begin: the second at which they begin.
    end: the second at which they end.
  """

  text: str
  begin: float
  end: float


class Spoken(NamedTuple):
  """What is said in a sound.

  Attributes:
    sound: the number of the sound.
    segments: what is said, in order.
    language: the code of its language.
  """

  sound: int
  segments: list[Segment]
  language: str

  @property
  def text(self) -> str:
    """All that is said."""
    return "".join(segment.text for segment in self.segments).strip()


@dataclasses.dataclass(frozen=True)
class Writing:
  """How sounds are written down.

  Attributes:
    language: the code of the language that is spoken; None hears it from the first window.
    task: "transcribe" writes it down as it is, "translate" in English.
    no_speech: a window is silence where the probability of that is above this, and the mean
      log-probability of what would be written below `least_score`.
    least_score: a window whose mean log-probability is lower is written anew, see `temperatures`.
    most_repetition: so is one whose text zlib makes more times shorter, as it repeats itself.
    temperatures: what tokens are drawn at when a window is written anew, one after the other; of
      those that all fail the likeliest is kept.
    batch_size: sounds that are heard at once.
    seed: the seed of those draws, which depend on it and on the window's samples alone.

  Reference: arXiv 2212.04356, section 4.5. Ours takes the likeliest token where the paper searches
  with five beams, draws once where the authors' code draws five times, and does not show the
  decoder what was said before the window.
  """

  language: str | None = None
  task: Task = "transcribe"
  no_speech: float = 0.6
  least_score: float = -1.0
  most_repetition: float = 2.4
  temperatures: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
  batch_size: PositiveInt = 8
  seed: Seed = 0

  def __post_init__(self):
    check_ranges(self)


class _Place:
  """How far a sound is written down."""

  def __init__(self, number: int, samples: Int16[np.ndarray, " _"]):
    self.number, self.samples, self.begin = number, samples, 0
    self.segments: list[Segment] = []
    self.language: str | None = None

  @property
  def is_done(self) -> bool:
    return self.begin >= len(self.samples)


class Whisper:
  """A Whisper that writes down sounds of any length.

  Args:
    loaded: what `load` returned, for "hf:FOLDER", "ct2:FOLDER" or a run.

  Raises:
    UserError: for what is no Whisper, or has no tokenizer of one.
  """

  def __init__(self, loaded: Loaded):
    if not is_whisper(loaded):
      raise UserError(f"{loaded.workdir}: is {loaded.title}, expected a Whisper")
    encoder, decoder = loaded.module.encoder, loaded.module.decoder
    self.tokens = WhisperTokens.of(loaded)
    # As in the authors' code; the other half is for what was said before.
    length = decoder.max_length // 2
    self._transcriber = Transcriber(
      encoder, decoder, rules=self.tokens.rules, max_new_tokens=length
    )
    self._window = encoder.length * _SAMPLES

  def check(self, writing: Writing) -> None:
    """Refuses a language or a task that the model does not have.

    Raises:
      UserError: naming what it has.
    """
    if writing.language is not None or not self.tokens.languages:
      self.tokens.prompt(writing.language, writing.task)

  def transcribe(self, samples: Int16[np.ndarray, " _"], *, writing: Writing = Writing()) -> Spoken:
    """Writes down a sound.

    Args:
      samples: the sound, one channel at 16 kHz.
      writing: how it is written down.
    """
    return next(self.transcribe_all([samples], writing=writing))

  def transcribe_all(
    self,
    sounds: Iterable[Int16[np.ndarray, " _"]],
    *,
    writing: Writing = Writing(),
    tell: Callable[[float], Any] = lambda seconds: None,
  ) -> Iterator[Spoken]:
    """Writes down sounds, several at a time; which come first that are done first.

    A window of 30 seconds is heard; the next one begins where its last whole segment ends, so that
    no word is cut or comes twice.

    Args:
      sounds: the sounds, each one channel at 16 kHz, which are taken as places become free.
      writing: how they are written down.
      tell: hears how many seconds were done.

    Raises:
      UserError: for a language or a task that the model does not have.
    """
    self.check(writing)
    waiting, places = enumerate(sounds), []
    while True:
      while len(places) < writing.batch_size and (found := next(waiting, None)) is not None:
        places.append(_Place(*found))
      if not places:
        return
      before = sum(place.begin for place in places)
      self._write_windows([place for place in places if not place.is_done], writing)
      tell((sum(place.begin for place in places) - before) / RATE)
      for place in places:
        if place.is_done:
          yield Spoken(place.number, place.segments, place.language or "en")
      places = [place for place in places if not place.is_done]

  def _write_windows(self, places: Sequence[_Place], writing: Writing) -> None:
    """Writes down one window of each sound, and moves its place on."""
    windows = [place.samples[place.begin : place.begin + self._window] for place in places]
    # A window in which nothing moves is silence, whatever a network says of it.
    sounding = [i for i, window in enumerate(windows) if window.min() != window.max()]
    if sounding:
      some = [places[i] for i in sounding]
      heard = self._transcriber.hear(self._batch([windows[i] for i in sounding]))
      self._find_languages(some, heard, writing)
      names = [zlib.crc32(windows[i].tobytes()) for i in sounding]
      texts = self._texts(some, heard, names, writing)
      for i, text in zip(sounding, texts, strict=True):
        self._move(places[i], len(windows[i]), text)
    for i in set(range(len(places))) - set(sounding):
      self._move(places[i], len(windows[i]), [])

  def _batch(self, windows: Sequence[np.ndarray]) -> Sound:
    """The windows as rows, filled up to a number of rows for which there is a program."""
    rows = 1 << (len(windows) - 1).bit_length()
    audio = np.zeros((rows, self._window), np.int16)
    counts = np.ones(rows, np.int32)
    for row, window in enumerate(windows):
      audio[row, : len(window)] = window
      counts[row] = len(window)
    return Sound(audio, counts)

  def _find_languages(self, places: Sequence[_Place], heard: Heard, writing: Writing) -> None:
    """Sets the language of each sound of which it is not known."""
    if all(place.language for place in places):
      return
    if writing.language is not None or not self.tokens.languages:
      found = [writing.language or "en"] * len(places)
    else:
      codes, ids = zip(*self.tokens.languages.items(), strict=True)
      scores = np.asarray(self._transcriber.first_scores(heard))[:, ids]
      found = [codes[i] for i in scores.argmax(axis=1)]
    for place, code in zip(places, found, strict=False):
      place.language = place.language or code

  def _texts(
    self, places: Sequence[_Place], heard: Heard, names: Sequence[int], writing: Writing
  ) -> list[list[int]]:
    """The tokens of each window, which has a number of its own; none where nothing is said."""
    rows = len(heard.layers[0].keys)
    prompts = [self.tokens.prompt(place.language, writing.task) for place in places]
    prompts = np.array(prompts + prompts[:1] * (rows - len(prompts)), np.int32)
    keys = _keys(writing.seed, [*names, *names[:1] * (rows - len(names))])
    wanted, tries = np.arange(rows) < len(places), [[] for _ in places]
    for number, temperature in enumerate((0.0, *writing.temperatures)):
      own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
      written = self._transcriber.write(
        heard, prompts, wanted=wanted, temperature=temperature, keys=own
      )
      for i, found in enumerate(self._judged(written, writing)[: len(places)]):
        if wanted[i]:
          tries[i].append(found)
          wanted[i] = not (found.is_good or found.is_silence)
      if not wanted.any():
        break
    return [_best(some) for some in tries]

  def _judged(self, written: Written, writing: Writing) -> list["_Try"]:
    tokens, lengths, scores, no_speech = map(np.asarray, written)
    if not np.isfinite(scores).all():
      raise ValueError("scores are not finite: the parameters have diverged")
    found = []
    for row, length, score, silence in zip(tokens, lengths, scores, no_speech, strict=True):
      some = row[:length].tolist()
      repeats = repetition(self.tokens.text(some)) > writing.most_repetition
      is_unsure = score < writing.least_score
      is_silence = silence > writing.no_speech and is_unsure
      found.append(_Try(some, float(score), repeats, repeats or is_unsure, is_silence))
    return found

  def _move(self, place: _Place, num_samples: int, text: Sequence[int]) -> None:
    """Adds the segments of a window, and moves on to where the last whole one ends."""
    begin, seconds = place.begin / RATE, num_samples / RATE
    found = cut(text, first_time=self.tokens.first_time, seconds=seconds)
    for piece in found.pieces:
      words = self.tokens.text(piece.tokens)
      if words.strip() and piece.end > piece.begin:
        place.segments.append(Segment(words, begin + piece.begin, begin + piece.end))
    heard = num_samples if found.seconds >= seconds else round(found.seconds * RATE)
    place.begin += max(heard, min(_LEAST, num_samples))


class _Try(NamedTuple):
  """The tokens of a window that was written once, and what is to be thought of them."""

  tokens: list[int]
  score: float
  repeats: bool
  is_bad: bool
  is_silence: bool

  @property
  def is_good(self) -> bool:
    return not self.is_bad


def _best(tries: Sequence[_Try]) -> list[int]:
  """The tokens of the try that was good; where none was, of the likeliest that does not repeat."""
  last = tries[-1]
  if last.is_silence:
    return []
  if last.is_good:
    return last.tokens
  plain = [one for one in tries if not one.repeats]
  return max(plain or tries, key=lambda one: one.score).tokens


def _keys(seed: int, names: Sequence[int]) -> Any:
  """A key for each row: of its samples alone, whatever else is heard, and when."""
  return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), np.array(names, np.uint32))


def repetition(text: str) -> float:
  """How many times shorter zlib makes a text: 2 or less for speech, more where it repeats.

  >>> repetition("They went away. " * 20) > 10
  True
  """
  data = text.strip().encode("utf-8")
  return len(data) / len(zlib.compress(data))


def is_whisper(loaded: Loaded) -> bool:
  """Whether a run or a model is an encoder and a decoder of this kind, that no CTC trained."""
  encoder = getattr(loaded.module, "encoder", None)
  decoder = getattr(loaded.module, "decoder", None)
  # `AttentionCTC` has such a decoder too, whose tokens are those of its own tokenizer.
  is_one = isinstance(encoder, WhisperEncoder) and isinstance(decoder, WhisperDecoder)
  return is_one and not isinstance(loaded.objective, CTC)
