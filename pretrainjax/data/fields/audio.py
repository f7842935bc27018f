"""Sound: samples of one channel, in rows of a few lengths, perhaps with their transcripts."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int16, Integer

from pretrainjax.data.field import ArrayShape, Field, Place
from pretrainjax.data.prepared import Fields, PreparedSplit
from pretrainjax.data.sound import RATE
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.ranges import NonNegativeInt, PositiveInt, Range, check_ranges
from pretrainjax.types import Batch


class AudioRecord(NamedTuple):
  """What one record holds.

  Attributes:
    audio: the samples, "S".
    tokens: ids of the transcript, "T"; None where it is not asked for.
  """

  audio: Int16[np.ndarray, " S"]
  tokens: Integer[np.ndarray, " T"] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioField(Field):
  """A record's sound: "audio" int16 at 16 kHz, padded with 0 at its end, and "num_samples" int32.

  Attributes:
    max_seconds: the longest row. What is longer is cropped, or where it has a transcript refused,
      since nobody knows which words are left.
    crop: where the crop of a longer sound begins: at "random", anew each epoch, or at its "start".
    text_length: the most tokens of a transcript, in "tokens" and "segments" int32 "T", without
      special ones; "segments" is 1 where there are some, else 0. With 0 there are no such arrays.
    buckets: the number of lengths that rows have, see `pretrainjax.data.buckets`. Above 1 each
      batch has rows of one of them: less padding, and a program compiled for each. In training
      only: evaluation chooses lengths by itself.
  """

  max_seconds: Annotated[float, Range(0.1, 3600)] = 16.0
  crop: Literal["random", "start"] = "random"
  text_length: NonNegativeInt = 0
  buckets: PositiveInt = 1

  def __post_init__(self):
    check_ranges(self)

  @functools.cached_property
  def tokenizer(self) -> Tokenizer | None:
    """The tokenizer of the transcripts; None where they are not asked for."""
    if not self.text_length:
      return None
    folder = self.sources[0].folder
    return Tokenizer.load(folder / "tokenizer.json", inside=folder)

  def check(self) -> None:
    """See `Field`."""
    for source in self.sources:
      source.expect("audio", tfds.features.Tensor)
      if source.dtype("audio") != np.int16:
        raise UserError(
          f"--{source.key}.datasets: '{source.name}' has audio of {source.dtype('audio')}, "
          "expected int16"
        )
      if (rate := source.noted("sampling_rate", int)) != RATE:
        raise UserError(
          f"--{source.key}.datasets: '{source.name}' has {rate} samples a second, expected {RATE}"
        )
      if self.text_length:
        self._check_transcripts(source)

  def _check_transcripts(self, source: PreparedSplit) -> None:
    source.expect("tokens", tfds.features.Tensor)
    seconds, tokens = source.noted("longest_seconds", float), source.noted("transcript_length", int)
    if seconds > self.max_seconds:
      raise UserError(
        f"--{self.key}.max_seconds: found {self.max_seconds:g}, expected at least {seconds:g}, the "
        f"longest of '{source.name}': what has a transcript cannot be cropped"
      )
    if tokens > self.text_length:
      raise UserError(
        f"--{self.key}.text_length: found {self.text_length}, expected at least {tokens}, the "
        f"longest transcript of '{source.name}'"
      )
    first, other = (Tokenizer.load(s.folder / "tokenizer.json") for s in (self.sources[0], source))
    if first.fingerprint != other.fingerprint:
      raise UserError(
        f"--{source.key}.datasets: '{source.name}' has tokenizer {other.fingerprint}, expected "
        f"{first.fingerprint} as '{self.sources[0].name}'; prepare it with "
        f"--config.tokenizer.path={self.sources[0].folder / 'tokenizer.json'}"
      )

  def unpack(self, source: PreparedSplit, fields: Fields) -> AudioRecord:
    """See `Field`."""
    audio = np.frombuffer(_packed(fields, "audio", itemsize=2), np.int16)
    if not len(audio):
      raise ValueError("has no sound")
    if not self.text_length:
      return AudioRecord(audio)
    dtype = source.dtype("tokens")
    tokens = np.frombuffer(_packed(fields, "tokens", itemsize=dtype.itemsize), dtype)
    size = self.tokenizer.vocab_size
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < size:
      raise ValueError(f"found id {tokens.max()}, expected below {size}")
    if len(audio) > self.longest or len(tokens) > self.text_length:
      raise ValueError(f"has {len(audio)} samples and {len(tokens)} tokens, more than was noted")
    return AudioRecord(audio, tokens)

  def arrays(self, record: AudioRecord, place: Place) -> dict[str, np.ndarray]:
    """See `Field`."""
    audio, longest = record.audio, self.longest
    if len(audio) > longest:
      start = place.rng().integers(len(audio) - longest + 1) if self.crop == "random" else 0
      audio = audio[start : start + longest]
    row = {"audio": np.zeros(longest, np.int16), "num_samples": np.int32(len(audio))}
    row["audio"][: len(audio)] = audio
    if record.tokens is not None:
      row |= {name: np.zeros(self.text_length, np.int32) for name in ("tokens", "segments")}
      row["tokens"][:] = self.tokenizer.pad_id
      row["tokens"][: len(record.tokens)] = record.tokens
      row["segments"][: len(record.tokens)] = 1
    return row

  def shapes(self, sizes: Mapping[str, int]) -> dict[str, ArrayShape]:
    """See `Field`; tokens are below the network's "vocab_size"."""
    found = {
      "audio": ArrayShape((self.longest,), np.int16, low=-32768, high=32768),
      "num_samples": ArrayShape((), np.int32, low=self.longest, high=self.longest + 1),
    }
    if self.text_length:
      shape = (self.text_length,)
      found["tokens"] = ArrayShape(shape, np.int32, high=sizes.get("vocab_size", 2))
      found["segments"] = ArrayShape(shape, np.int32, low=1, high=2)
    return found

  def count(self, batch: Batch) -> dict[str, int | float]:
    """See `Field`; padding does not count."""
    return {"seconds": float(np.sum(batch["num_samples"], dtype=np.int64)) / RATE}

  # --- rows of several lengths ---------------------------------------------------------------

  @property
  def num_buckets(self) -> int:
    """See `Field`."""
    return self.buckets

  @property
  def has_lengths(self) -> bool:
    """See `Field`."""
    return True

  @property
  def length_step(self) -> int:
    """See `Field`; a tenth of a second."""
    return RATE // 10

  @property
  def buckets_by(self) -> Literal["rows", "padding"]:
    """See `Field`; a few prompts are fifty times as long as most."""
    return "padding"

  @property
  def longest(self) -> int:
    """See `Field`; in samples."""
    return round(self.max_seconds * RATE)

  def length_of(self, source: PreparedSplit, fields: Fields) -> int:
    """See `Field`."""
    return min(len(_packed(fields, "audio", itemsize=2)) // 2, self.longest)

  def cut(self, arrays: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """See `Field`."""
    return arrays | {"audio": arrays["audio"][..., :length]}


def _packed(fields: Fields, feature: str, *, itemsize: int) -> bytes:
  values = fields[feature].bytes_list.value
  if len(values) != 1 or len(values[0]) % itemsize:
    raise ValueError(f"has no {feature}")
  return values[0]
