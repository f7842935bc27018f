"""Sounds that a user has: files and folders of them, decoded, mixed down and resampled."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from pretrainjax.data.sound import (
  CUT,
  DAMAGED,
  EMPTY,
  NOT_FINITE,
  RATE,
  BadRate,
  BadSound,
  needs_audio,
  sound_of,
  to_int16,
)
from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.prepare.files.walk import File, open_listing
from pretrainjax.untrusted import BadFile, open_file
from pretrainjax.user_path import user_path

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".w64")
# What is held of a sound in memory: 115 MB an hour.
_MAX_HOURS = 24


def read(path: Path) -> Int16[np.ndarray, " S"]:
  """The sound of a file at 16 kHz: the mean of its channels.

  Of a file that is cut short it is what is there.

  Args:
    path: a file of any format that libsndfile reads, any rate, depth and number of channels.

  Raises:
    BadFile: for a file that is no sound, is damaged, empty or too long.
    UserError: where soundfile or soxr is not installed.
  """
  parts, left = [], _MAX_HOURS * 3600 * RATE
  needs_audio()
  try:
    with open_file(path) as file:
      for block in sound_of(file):
        parts.append(to_int16(block))
        left -= len(block)
        if left < 0:
          raise BadFile(path, f"is longer than {_MAX_HOURS} hours")
  except OSError as error:
    raise BadFile(path, f"cannot be read ({error.strerror or error})") from error
  except BadSound as error:
    if str(error) != CUT:
      raise BadFile(path, _reason(error)) from error
  found = np.concatenate([np.zeros(0, np.int16), *parts])
  if not len(found):
    raise BadFile(path, "is empty")
  return found


def _reason(error: BadSound) -> str:
  """What is wrong with a file, as a sentence without its subject."""
  if isinstance(error, BadRate):
    return f"has {error.rate} samples a second"
  if str(error) == DAMAGED:
    return f"is no sound that can be decoded ({one_line(error.__cause__)[:100]})"
  return {EMPTY: "is empty", NOT_FINITE: "has samples that are not finite"}[str(error)]


def seconds_told(path: Path) -> float:
  """The length that a file says it has, for a progress bar; 0 where it says none."""
  needs_audio()
  import soundfile  # of an extra

  try:
    with open_file(path) as file, soundfile.SoundFile(file) as opened:
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
