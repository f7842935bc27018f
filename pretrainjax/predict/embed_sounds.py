"""Features of sounds: `predict embed --workdir=WORKDIR --input=SOUNDS --out=FILE`.

A sound's feature is the encoder's pooled one of the whole. One that is longer than a window is cut
into equal windows, whose features are averaged, each as much as it is long. A command that was
stopped goes on where it was when it is given again.
"""

import argparse
import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.evaluators.features import pooled
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.models.spectrogram_vit import SpectrogramViT
from pretrainjax.predict.audio_inputs import RATE, find_sounds, read
from pretrainjax.predict.encoded_inputs import Part, left_out
from pretrainjax.predict.feature_file import checked_out, write_features
from pretrainjax.predict.parts import digest_of_files
from pretrainjax.predict.sound_windows import Piece, batch_of, encoded
from pretrainjax.types import Encoder
from pretrainjax.untrusted import BadFile

# Sounds a part: what a command that is stopped loses at most.
_PART = 512
# The longest window where neither the run nor the encoder says one, in seconds.
_USUAL = 30.0


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict embed` that sounds have."""
  parser.add_argument(
    "--window",
    type=float,
    help="seconds of a sound that are encoded at once (default: as in training, or 30)",
  )


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict embed` for an encoder of sound."""
  options = request.options
  out = checked_out(options, expected="sounds, or a folder of them")
  sounds = open_sounds(loaded, options)
  count, missing = write_features(sounds, loaded.encoder, out)
  print(f"features of {count} sounds, in windows of {sounds.seconds:g} s: {out}")
  if missing:
    print(left_out(missing))


@dataclasses.dataclass(frozen=True)
class Sounds:
  """Sound files that a user gives, see `encoded_inputs.Inputs`.

  Attributes:
    paths: the places of the files.
    names: what each is called in the output.
    seconds: the longest window.
    shortest: the samples that a sound must have for a feature.
    batch_size: windows that are encoded at once.
  """

  paths: Sequence[Path]
  names: Sequence[str]
  seconds: float
  shortest: int
  batch_size: int
  kind: ClassVar[str] = "sounds"

  @property
  def num_examples(self) -> int:
    """The number of files."""
    return len(self.paths)

  @property
  def part_size(self) -> int:
    """Files of a part."""
    return _PART

  def identity(self) -> dict[str, Any]:
    """See `Inputs`."""
    files = digest_of_files(self.paths, self.names)
    return {"input": files, "window": self.seconds, "batch_size": self.batch_size}

  def encoded(self, encoder: Encoder, start: int, count: int) -> Part:
    """See `Inputs`."""
    numbers = range(start, min(start + count, len(self.paths)))
    missing: dict[int, str] = {}
    sums = np.zeros((len(numbers), encoder.embed_dim))
    lengths = np.zeros(len(numbers), np.int64)
    encode = functools.partial(
      _pooled,
      encoder,
      functools.partial(pooled, *nnx.split(encoder)),
      self.batch_size,
      self.seconds,
    )
    pieces = self._pieces(numbers, missing)
    for piece, feature in encoded(pieces, batch_size=self.batch_size, encode=encode):
      sums[piece.sound - start] += len(piece.samples) * feature.astype(np.float64)
      lengths[piece.sound - start] += len(piece.samples)
    found = lengths > 0
    features = (sums[found] / lengths[found, None]).astype(np.float32)
    bad = int((~np.isfinite(features).all(axis=1)).sum())
    if bad:
      raise UserError(
        f"--workdir: features of {bad} of {len(features)} sounds are not finite: the parameters "
        "have diverged; take an earlier checkpoint (WORKDIR@STEP)"
      )
    names = [self.names[start + row] for row in np.flatnonzero(found)]
    said = [f"{self.names[number]} ({reason})" for number, reason in missing.items()]
    return Part(features, names, said)

  def _pieces(self, numbers: Sequence[int], missing: dict[int, str]) -> Iterator[Piece]:
    """The windows of those that can be read; why the others cannot is put into `missing`."""
    for number in numbers:
      try:
        samples = read(self.paths[number])
      except BadFile as error:
        missing[number] = error.reason
        continue
      if len(samples) < self.shortest:
        missing[number] = f"is shorter than {1000 * self.shortest / RATE:.3g} ms"
        continue
      for window in equal_windows(len(samples), seconds=self.seconds):
        yield Piece(number, window.start, samples[window])


def open_sounds(loaded: Loaded, options: argparse.Namespace) -> Sounds:
  """The sounds that a command line names.

  Args:
    loaded: the run that encodes them.
    options: the flags `input`, `batch_size` and those of `add_flags`.

  Raises:
    UserError: for what is not there, or holds no sound.
  """
  encoder, seconds = loaded.encoder, options.window
  assert isinstance(encoder, SoundEncoder)
  shortest = encoder.receptive_field
  least = 2 * shortest / RATE  # equal windows are longer than half of it
  if seconds is None:
    told = (loaded.config.get("data") or {}).get("max_seconds") or _USUAL
    seconds = max(min(float(told), _longest(encoder)), least)
  if not least <= seconds <= 3600:
    raise UserError(f"--window: found {seconds:g}, expected {least:g} to 3600 seconds")
  paths, names = find_sounds(options.input)
  return Sounds(paths, names, seconds, shortest, options.batch_size)


def equal_windows(num_samples: int, *, seconds: float) -> list[slice]:
  """Cuts a sound into the fewest windows of equal length, of at most so many seconds.

  >>> equal_windows(40_000, seconds=1.0)
  [slice(0, 13333, None), slice(13333, 26667, None), slice(26667, 40000, None)]
  """
  count = max(math.ceil(num_samples / max(round(seconds * RATE), 1)), 1)
  ends = [round(i * num_samples / count) for i in range(count + 1)]
  return [slice(begin, end) for begin, end in zip(ends[:-1], ends[1:], strict=True)]


def _longest(encoder: Any) -> float:
  """The seconds that an encoder hears of a row at most; infinite where it is not said."""
  log_mel = getattr(encoder, "log_mel", None)
  frames = encoder.length if isinstance(encoder, SpectrogramViT) else None
  frames = getattr(log_mel, "length", None) if frames is None else frames
  return math.inf if frames is None else frames * log_mel.hop_length / RATE


def _pooled(
  encoder: Any, apply: Any, batch_size: int, seconds: float, pieces: Sequence[Piece]
) -> Float[np.ndarray, "N D"]:
  """The features of some windows, encoded as one batch that is filled up."""
  batch = batch_of(pieces, batch_size=batch_size, seconds=seconds)
  inputs = encoder.inputs({name: jnp.asarray(array) for name, array in batch.items()})
  return np.asarray(apply(inputs))[: len(pieces)]
