"""Sounds of any length through a network, window by window, and its frames put together again."""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int, Int16

from pretrainjax.predict.audio_inputs import RATE

_SHORTEST = 1 << 14  # samples of a row; each power of two above it is compiled once
_PAUSE = 0.2  # seconds around a seam that should be silent
Found = TypeVar("Found")


class Frames(NamedTuple):
  """What a network says of a stretch of sound.

  Attributes:
    log_probs: the log-probabilities of the classes of each frame.
    begins: where each frame begins, in seconds of the whole sound.
    step: the seconds from one frame to the next.
  """

  log_probs: Float32[np.ndarray, "N K"]
  begins: Float[np.ndarray, " N"]
  step: float

  def part(self, frames: slice) -> "Frames":
    """Some of the frames."""
    return self._replace(log_probs=self.log_probs[frames], begins=self.begins[frames])


class Windows(NamedTuple):
  """How long sounds are cut.

  Attributes:
    seconds: the length of a window.
    overlap: the seconds that two of them share.
    batch_size: windows that are encoded at once.
  """

  seconds: float = 30.0
  overlap: float = 6.0
  batch_size: int = 8

  def cut(self, num_samples: int) -> list[slice]:
    """The windows of a sound, the last of which may be shorter.

    >>> Windows(seconds=1.0, overlap=0.25).cut(30_000)
    [slice(0, 16000, None), slice(12000, 28000, None), slice(24000, 30000, None)]
    """
    size, shared = round(self.seconds * RATE), round(self.overlap * RATE)
    last = max(num_samples - shared, 1)
    return [slice(i, min(i + size, num_samples)) for i in range(0, last, size - shared)]


def frames_of(
  module: Any, sounds: Iterable[Int16[np.ndarray, " _"]], *, windows: Windows, blank_id: int
) -> Iterator[Iterator[Frames]]:
  """Yields for each sound its frames, in parts that follow on each other; to be used in order.

  Args:
    module: the trained module of a `CTC`.
    sounds: the samples of each sound, at 16 kHz.
    windows: how they are cut.
    blank_id: the class of the blank, at which windows are joined.
  """
  apply = functools.partial(_log_probs, *nnx.split((module.encoder, module.head)))
  encode = functools.partial(_frames, module.encoder, apply, windows)
  found = encoded(_pieces(sounds, windows), batch_size=windows.batch_size, encode=encode)
  for _, parts in itertools.groupby(found, key=lambda pair: pair[0].sound):
    yield joined((frames for _, frames in parts), blank_id=blank_id)


def joined(parts: Iterable[Frames], *, blank_id: int) -> Iterator[Frames]:
  """Yields frames of windows that overlap, each stretch of sound once.

  Two windows are joined where both are surest of silence, in the middle half of what they share:
  near its edge a window knows too little of what was said before.

  Args:
    parts: the frames of windows, in order.
    blank_id: the class of the blank.
  """
  left = None
  for right in parts:
    if left is not None:
      seam = _seam(left, right, blank_id=blank_id)
      yield left.part(slice(0, int(np.searchsorted(left.begins, seam))))
      right = right.part(slice(int(np.searchsorted(right.begins, seam)), None))
    left = right
  if left is not None:
    yield left


def _seam(left: Frames, right: Frames, *, blank_id: int) -> float:
  """The second at which two windows that overlap are joined."""
  if not len(left.begins) or not len(right.begins):
    return np.inf if len(left.begins) else -np.inf
  begin, end = right.begins[0], left.begins[-1] + left.step
  quarter = max(end - begin, 0.0) / 4
  inner = (left.begins >= begin + quarter) & (left.begins <= end - quarter)
  places = np.flatnonzero(inner)
  if not len(places):
    return float((begin + end) / 2)
  beside = np.clip(np.searchsorted(right.begins, left.begins[places]), 0, len(right.begins) - 1)
  silence = np.minimum(left.log_probs[places, blank_id], right.log_probs[beside, blank_id])
  box = np.ones(max(min(round(_PAUSE / left.step), len(places)), 1))
  silence = np.convolve(np.maximum(silence, -20.0), box, mode="same")
  # Of places that are as good, the one in the middle: both windows see most around it.
  best = np.flatnonzero(silence >= silence.max() - 1e-3 * len(box))
  place = places[best[np.abs(best - len(places) / 2).argmin()]]
  return float(left.begins[place])


class Piece(NamedTuple):
  """A window of a sound.

  Attributes:
    sound: the number of the sound.
    begin: its first sample.
    samples: the samples of the window.
  """

  sound: int
  begin: int
  samples: Int16[np.ndarray, " _"]


def encoded(
  pieces: Iterator[Piece],
  *,
  batch_size: int,
  encode: Callable[[Sequence[Piece]], Iterable[Found]],
) -> Iterator[tuple[Piece, Found]]:
  """Yields each window with what a network says of it, in order; those of like length go together.

  Args:
    pieces: the windows, of which never more than four batches are in memory.
    batch_size: windows of a batch.
    encode: the function of a batch's windows, at most so many, that says something of each.
  """
  while some := list(itertools.islice(pieces, 4 * batch_size)):
    found: dict[int, Found] = {}
    order = np.argsort([len(piece.samples) for piece in some], kind="stable").tolist()
    for start in range(0, len(some), batch_size):
      rows = order[start : start + batch_size]
      found |= dict(zip(rows, encode([some[row] for row in rows]), strict=True))
    yield from ((piece, found[row]) for row, piece in enumerate(some))


def batch_of(
  pieces: Sequence[Piece], *, batch_size: int, seconds: float
) -> dict[str, Int[np.ndarray, "B ..."]]:
  """Windows as the batch that encoders of sound read, filled up.

  Args:
    pieces: the windows, at least one.
    batch_size: the number of rows.
    seconds: how long windows may be, which no row is longer than.
  """
  longest = max(len(piece.samples) for piece in pieces)
  size = max(_SHORTEST, 1 << (longest - 1).bit_length())
  size = min(size, max(round(seconds * RATE), longest))
  audio = np.zeros((batch_size, size), np.int16)
  counts = np.full(batch_size, len(pieces[-1].samples), np.int32)
  for row, piece in enumerate(pieces):
    audio[row, : len(piece.samples)] = piece.samples
    counts[row] = len(piece.samples)
  return {"audio": audio, "num_samples": counts}


def _pieces(sounds: Iterable[np.ndarray], windows: Windows) -> Iterator[Piece]:
  for number, samples in enumerate(sounds):
    for window in windows.cut(len(samples)):
      yield Piece(number, window.start, samples[window])


def _frames(
  encoder: Any, apply: Any, windows: Windows, pieces: Sequence[Piece]
) -> Iterator[Frames]:
  """The frames of some windows, encoded as one batch that is filled up."""
  batch = batch_of(pieces, batch_size=windows.batch_size, seconds=windows.seconds)
  inputs = encoder.inputs({name: jnp.asarray(array) for name, array in batch.items()})
  log_probs, valid = map(np.asarray, apply(inputs))
  if not np.isfinite(log_probs[: len(pieces)]).all():
    raise ValueError("scores are not finite: the parameters have diverged")
  for row, piece in enumerate(pieces):
    real = log_probs[row, valid[row]]
    step = _samples_a_frame(encoder, len(piece.samples), len(real)) / RATE
    yield Frames(real, piece.begin / RATE + step * np.arange(len(real)), step)


def _samples_a_frame(encoder: Any, num_samples: int, num_frames: int) -> float:
  """As the encoder says; of one that does not, as many as there are on average."""
  told = getattr(encoder, "samples_per_frame", None)
  return float(told) if told else num_samples / max(num_frames, 1)


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(
  graphdef: nnx.GraphDef, state: Any, inputs: Any
) -> tuple[Float[Array, "B N K"], Bool[Array, "B N"]]:
  encoder, head = nnx.merge(graphdef, state)
  encoded = encoder(inputs)
  return jax.nn.log_softmax(head(encoded.tokens).astype(jnp.float32), axis=-1), encoded.valid
