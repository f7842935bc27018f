"""Sounds that a user has: files and folders of them, decoded, mixed down and resampled."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16

from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.prepare.files.walk import File, open_listing
from pretrainjax.untrusted import BadFile, open_file
from pretrainjax.user_path import user_path

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".w64")
RATE = 16_000
# What is held of a sound in memory: 115 MB an hour.
_MAX_HOURS = 24
_BLOCK = 1 << 18  # samples of all channels
_RATES = (1_000, 768_000)


def read(path: Path) -> Int16[np.ndarray, " S"]:
  """The sound of a file at 16 kHz: the mean of its channels.

  Args:
    path: a file of any format that libsndfile reads, any rate, depth and number of channels.

  Raises:
    BadFile: for a file that is no sound, is damaged, empty or too long.
    UserError: where soundfile or soxr is not installed.
  """
  soundfile, soxr = _libraries()
  try:
    with open_file(path) as file, soundfile.SoundFile(file.fileno(), closefd=False) as opened:
      if not _RATES[0] <= opened.samplerate <= _RATES[1]:
        raise BadFile(path, f"has {opened.samplerate} samples a second")
      stream = soxr.ResampleStream(opened.samplerate, RATE, 1, dtype="float32")
      parts, left = [], _MAX_HOURS * 3600 * RATE
      for block, is_last in _blocks(opened, path):
        parts.append(_to_int16(stream.resample_chunk(block, last=is_last)))
        left -= len(parts[-1])
        if left < 0:
          raise BadFile(path, f"is longer than {_MAX_HOURS} hours")
  except OSError as error:
    raise BadFile(path, f"cannot be read ({error.strerror or error})") from error
  except (soundfile.SoundFileError, ValueError, TypeError, RuntimeError) as error:
    raise BadFile(path, f"is no sound that can be decoded ({one_line(error)[:100]})") from error
  found = np.concatenate(parts)
  if not len(found):
    raise BadFile(path, "is empty")
  return found


def seconds_told(path: Path) -> float:
  """The length that a file says it has, for a progress bar; 0 where it says none."""
  soundfile, _ = _libraries()
  try:
    with open_file(path) as file, soundfile.SoundFile(file.fileno(), closefd=False) as opened:
      told = opened.frames / opened.samplerate
  except (OSError, BadFile, soundfile.SoundFileError, ValueError, RuntimeError, TypeError):
    return 0.0  # `read` says why
  return told if 0 < told < _MAX_HOURS * 3600 else 0.0


def find_sounds(inputs: Sequence[str]) -> tuple[list[Path], list[str]]:
  """Sound files that a user names, and those in folders; also what each is called.

  Args:
    inputs: files, of whatever name, and folders.

  Raises:
    UserError: for what is not there, or a folder without sounds.
  """
  paths, names = [], []
  for given in inputs:
    root = user_path(given)
    if not root.is_dir():
      if not root.is_file():
        beside = [p.name for p in root.parent.glob("*")] if root.parent.is_dir() else []
        raise UserError(f"--input: no file or folder '{given}'{nearest(root.name, beside)}")
      paths.append(root)
      names.append(root.name)
      continue
    with open_listing(suffixes=SUFFIXES, what="sound") as listing:
      listing.add(root)
      inside = [item.path for item in listing.items() if isinstance(item, File)]
    if not inside:
      raise UserError(f"--input: '{given}' holds no sound: {', '.join(SUFFIXES)}")
    paths += [root / path for path in inside]
    names += [path.as_posix() for path in inside]
  return paths, names


def _libraries() -> tuple[Any, Any]:
  try:
    import soundfile  # of an extra
    import soxr
  except (ImportError, OSError) as error:  # OSError: without the library that soundfile calls
    raise UserError("sound needs soundfile and soxr; pip install 'pretrainjax[audio]'") from error
  return soundfile, soxr


def _blocks(opened: Any, path: Path) -> Iterator[tuple[np.ndarray, bool]]:
  """The mean of the channels, block by block; an empty block is the last one."""
  count = max(_BLOCK // opened.channels, 1)
  while len(block := opened.read(count, dtype="float32", always_2d=True)):
    if not np.isfinite(block).all():
      raise BadFile(path, "has samples that are not finite")
    yield block.mean(axis=1), False
  yield np.zeros(0, np.float32), True


def _to_int16(samples: np.ndarray) -> Int16[np.ndarray, " S"]:
  """Samples in [-1, 1) as whole numbers; what is louder is clipped."""
  return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
