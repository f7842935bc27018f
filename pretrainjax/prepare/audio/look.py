"""What is asked of a sound before it is kept: its length, its loudness, silence at its ends."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Int16

from pretrainjax.data.sound import RATE
from pretrainjax.ranges import Fraction, NonNegativeFloat, PositiveFloat, check_ranges

# Of any length: pieces of one sound differ.
Samples = Int16[np.ndarray, " _"]
_FRAME = RATE // 50
_AT_LIMIT = 32_700  # of 32,768; a converter that clips may stop a little below
_SOME = 1e-3  # a share of samples at the limit that a person should know of


@dataclasses.dataclass(frozen=True)
class Look:
  """The limits of what is kept.

  Attributes:
    min_seconds: shorter sounds are left out.
    max_seconds: the longest sound that is kept whole.
    too_long: what is longer is "cut" into pieces of `max_seconds`, each an example, unless it has a
      transcript: then it is left out, as with "drop".
    trim_silence: whether silence at both ends is left out.
    silence_db: what counts as silence: frames of 20 ms, so far below the loudest one.
    margin_seconds: of silence that stays.
    max_clipped: the largest share of samples at the limit of what a file can hold; from a
      thousandth on a person is told of them.
  """

  min_seconds: NonNegativeFloat = 0.1
  max_seconds: PositiveFloat = 30.0
  too_long: Literal["cut", "drop"] = "cut"
  trim_silence: bool = False
  silence_db: PositiveFloat = 40.0
  margin_seconds: NonNegativeFloat = 0.1
  max_clipped: Fraction = 1.0

  def __post_init__(self):
    check_ranges(self)
    if self.max_seconds < self.min_seconds or self.max_seconds > 3600:
      raise ValueError(
        f"max_seconds={self.max_seconds:g}: expected in [min_seconds={self.min_seconds:g}, 3600]"
      )

  @property
  def longest(self) -> int:
    """The most samples of an example."""
    return round(self.max_seconds * RATE)

  def trimmed(self, audio: Samples) -> Samples:
    """The sound without the silence at its ends, where that is wanted."""
    if not self.trim_silence or len(audio) < _FRAME:
      return audio
    frames = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME)
    energy = np.square(frames.astype(np.float32)).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 10 ** (-self.silence_db / 10))
    if not len(loud):
      return audio
    margin = round(self.margin_seconds * RATE)
    start = max(int(loud[0]) * _FRAME - margin, 0)
    # What follows the last whole frame belongs to it.
    end = len(audio) if loud[-1] == len(frames) - 1 else (int(loud[-1]) + 1) * _FRAME + margin
    return audio[start:end]

  def why_not(self, audio: Samples) -> str | None:
    """The reason why a sound is left out, in a few words; None where it is kept."""
    if len(audio) < max(round(self.min_seconds * RATE), 1):
      return "too short"
    if audio.min() == audio.max():
      return "constant"
    return "clipped" if clipped(audio) > self.max_clipped else None


def clipped(audio: Samples) -> float:
  """The share of samples at the limit of what 16 bits can hold."""
  return float(np.mean((audio >= _AT_LIMIT) | (audio <= -_AT_LIMIT)))


def is_clipped(audio: Samples) -> bool:
  """Whether so many samples stand at the limit that a person should know."""
  return clipped(audio) > _SOME
