"""Sound files, decoded, mixed down and resampled block by block: no length fills the memory."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32, Int16

from pretrainjax.data.sound_header import HEAD, is_cut
from pretrainjax.errors import UserError
from pretrainjax.untrusted import open_file

RATE = 16_000  # samples a second, of all that is stored
_BLOCK = 1 << 18  # samples of all channels
_RATES = (1_000, 768_000)  # a lower one would be stretched without bounds
_SLACK = 2 * 1152  # samples that an MP3 may lack: encoders count the delay differently
_UNKNOWN_LENGTH = 1 << 62
MISSING = "sound needs soundfile and soxr; pip install 'pretrainjax[audio]'"
_GSM = {"format": "RAW", "subtype": "GSM610", "samplerate": 8000, "channels": 1}

# Of any length: those of an iterator differ.
Samples = Float32[np.ndarray, " _"]


class BadSound(ValueError):
  """A file whose sound cannot be had; the message says why, in a few words that can be counted."""


class BadRate(BadSound):
  """A file of a rate that nothing is recorded at."""

  def __init__(self, rate: int):
    super().__init__(f"rate of {rate} Hz")
    self.rate = rate


CUT, DAMAGED, EMPTY, NOT_FINITE = "cut short", "not decodable", "empty", "not finite"


def read_sound(
  path: Path | str, *, rate: int = RATE, max_seconds: float
) -> Int16[np.ndarray, " S"]:
  """The sound of a whole file, one channel of int16.

  Args:
    path: the path of a file of any format, rate, depth and number of channels.
    rate: the samples a second that it is resampled to.
    max_seconds: the most that is decoded.

  Raises:
    BadSound: for a file that is none, is damaged, or longer.
    BadFile, OSError: for a file that cannot be opened.
    UserError: where soundfile or soxr is not installed.
  """
  with open_file(path) as file:
    parts, left = [], round(max_seconds * rate)
    for block in sound_of(file, rate=rate, is_gsm=Path(path).suffix.lower() == ".gsm"):
      parts.append(to_int16(block))
      left -= len(block)
      if left < 0:
        raise BadSound(f"longer than {max_seconds:g} s")
  return np.concatenate(parts)


def sound_of(file: BinaryIO, *, rate: int = RATE, is_gsm: bool = False) -> Iterator[Samples]:
  """Yields the sound of a file in blocks: the mean of its channels, resampled once.

  Args:
    file: a regular file, opened for reading.
    rate: the samples a second of what is yielded.
    is_gsm: whether it is a bare stream of GSM 06.10, which has no header.

  Raises:
    BadSound: for what is no sound or is damaged; at the end, for a file that is cut short.
    UserError: where soundfile or soxr is not installed.
  """
  needs_audio()
  was_cut = not is_gsm and is_cut(file)
  head = _head(file)
  with _opened(file, _GSM if is_gsm else {}) as opened:
    if not _RATES[0] <= opened.samplerate <= _RATES[1]:
      raise BadRate(opened.samplerate)
    counted = _Counted(opened)
    yield from resampled(counted.blocks(), source=opened.samplerate, target=rate)
    if was_cut or counted.lacks(head):
      raise BadSound(CUT)
    if not counted.read:
      raise BadSound(EMPTY)


def resampled(blocks: Iterable[Samples], *, source: int, target: int) -> Iterator[Samples]:
  """Yields a sound at another rate, block by block; equal to what the whole would become.

  Args:
    blocks: the parts of the sound, one behind the other.
    source: its samples a second.
    target: the samples a second that are wanted.
  """
  if source == target:
    yield from blocks
    return
  import soxr  # of an extra

  stream = soxr.ResampleStream(source, target, 1, dtype="float32")
  for block in blocks:
    yield stream.resample_chunk(block)
  yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def to_int16(samples: Samples) -> Int16[np.ndarray, " S"]:
  """Samples in [-1, 1) as whole numbers; what is louder is clipped, 16 bits stay as they are."""
  return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def needs_audio() -> None:
  """Raises UserError, with the command that helps, where soundfile or soxr cannot be imported."""
  try:
    import soundfile  # noqa: F401
    import soxr  # noqa: F401
  except (ImportError, OSError) as error:  # OSError: without the library that soundfile calls
    raise UserError(MISSING) from error


def _head(file: BinaryIO) -> bytes:
  file.seek(0)
  found = file.read(HEAD * 16)  # an MP3's count of frames stands behind its tags
  file.seek(0)
  return found


@contextlib.contextmanager
def _opened(file: BinaryIO, options: dict[str, Any]) -> Iterator[Any]:
  import soundfile  # of an extra

  try:
    # Not the number of the open file, which libsndfile 1.2.0 closes where it finds no sound.
    opened = soundfile.SoundFile(file, **options)
  except (soundfile.SoundFileError, ValueError, TypeError, RuntimeError) as error:
    raise BadSound(DAMAGED) from error
  with opened:
    yield opened


class _Counted:
  """Reads a file to its end, and counts."""

  def __init__(self, opened: Any):
    self._opened, self.read = opened, 0

  def blocks(self) -> Iterator[Samples]:
    import soundfile  # of an extra

    frames = max(_BLOCK // self._opened.channels, 1)
    while True:
      try:
        block = self._opened.read(frames, dtype="float32", always_2d=True)
      except (soundfile.SoundFileError, ValueError, RuntimeError) as error:
        raise BadSound(DAMAGED) from error
      if not len(block):
        return
      if not np.isfinite(block).all():
        raise BadSound(NOT_FINITE)
      self.read += len(block)
      yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)

  def lacks(self, head: bytes) -> bool:
    """Whether fewer samples came than the file says that it has."""
    told = self._opened.frames
    if not 0 < told < _UNKNOWN_LENGTH:
      return False
    if self._opened.format == "MP3":  # others guess their length by the first frame
      return (b"Xing" in head or b"Info" in head) and self.read + _SLACK < told
    return self.read < told
