"""Batches of sound."""

import dataclasses
from typing import Annotated, ClassVar, Literal

from pretrainjax.config.follow import Follows, takes
from pretrainjax.data.fields.audio import AudioField
from pretrainjax.data.pipeline import Pipeline
from pretrainjax.data.sound import RATE
from pretrainjax.ranges import NonNegativeInt, PositiveInt, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioData(Pipeline):
  """Sounds of one dataset, or of several mixed: "audio" int16 "B S" and "num_samples" int32 "B".

  Attributes:
    max_seconds: the longest row, see `AudioField`.
    crop: where the crop of a longer sound begins, likewise.
    text_length: the most tokens of a transcript, likewise; 0 leaves transcripts out.
    buckets: lengths that rows may have in training, likewise; 1 gives all the longest.

  The others are those of `Pipeline`.
  """

  max_seconds: Annotated[float, Range(0.1, 3600)] = 16.0
  crop: Literal["random", "start"] = "random"
  text_length: NonNegativeInt = 0
  buckets: PositiveInt = 1

  follows: ClassVar[Follows] = {
    "max_seconds": takes("data.max_seconds", "prepared.longest_seconds"),
    "text_length": takes("data.text_length", "prepared.transcript_length"),
  }

  def make_field(self) -> AudioField:
    """See `Pipeline`."""
    options = ("max_seconds", "crop", "text_length", "buckets")
    return AudioField(**{name: getattr(self, name) for name in options})

  @property
  def sampling_rate(self) -> int:
    """Samples a second."""
    return RATE
