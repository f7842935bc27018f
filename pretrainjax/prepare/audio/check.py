"""Sound files are decoded, several at a time, to examples or to what is wrong with them."""

import collections
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pretrainjax.data.sound import RATE, BadSound, sound_of, to_int16
from pretrainjax.data.sound_header import HEAD, READABLE, format_of
from pretrainjax.prepare.audio.example import Facts, Sound
from pretrainjax.prepare.audio.look import Look, Samples, is_clipped
from pretrainjax.prepare.contract import Remark, Unreadable
from pretrainjax.untrusted import BadFile, open_file

CLIPPED = "clipped in places"
TOO_LONG = "too long for its transcript to be trained on"
_MOST = 24 * 3600 * RATE  # samples of a file: a few bytes can stand for a year of silence
_AT_ONCE = 300 * RATE  # samples that a thread decodes before others are waited for


class SoundFile(NamedTuple):
  """A sound file that is to be decoded.

  Attributes:
    path: the path of the file.
    key: the key of the example.
    facts: what is said of it, its split too.
    group: sounds of one group come into one split; None for those of the file alone.
  """

  path: Path
  key: str
  facts: Facts
  group: str | None = None


class _Begun(NamedTuple):
  """The first examples of a file, and what yields the others."""

  first: list[Sound | Unreadable]
  rest: Iterator[Sound | Unreadable]


def examined(
  items: Iterable[SoundFile | Unreadable], *, look: Look, pool: ThreadPoolExecutor
) -> Iterator[Sound | Unreadable]:
  """Yields the examples of each file, or what is wrong with it, in order.

  Args:
    items: files; what is unreadable stays as it is.
    look: what is asked of each.
    pool: what decodes them; of each file no more than some minutes are in memory.
  """
  running: collections.deque[Future[_Begun]] = collections.deque()
  for item in items:
    running.append(pool.submit(_begun, item, look))
    if len(running) > 2 * (os.cpu_count() or 1):
      yield from _all(running.popleft().result())
  while running:
    yield from _all(running.popleft().result())


def _all(begun: _Begun) -> Iterator[Sound | Unreadable]:
  yield from begun.first
  yield from begun.rest


def _begun(item: SoundFile | Unreadable, look: Look) -> _Begun:
  if isinstance(item, Unreadable):
    return _Begun([item], iter(()))
  rest, first, size = _examples(item, look), [], 0
  for example in rest:
    first.append(example)
    size += len(example.audio) if isinstance(example, Sound) else 0
    if size >= _AT_ONCE:
      break
  return _Begun(first, rest)


def _examples(item: SoundFile, look: Look) -> Iterator[Sound | Unreadable]:
  """The example of a file, or those of its pieces; at its end perhaps what is wrong."""
  pieces = _pieces(item, look)
  number = 0
  try:
    first = next(pieces)
    second = next(pieces, None)
    if second is None:
      yield _example(item, item.key, first, look)
      return
    if item.facts.text is not None or look.too_long == "drop":
      reason = TOO_LONG if item.facts.text is not None else "too long"
      yield Unreadable(item.key, reason, fault=False)
      return
    for audio in _chain(first, second, pieces):
      yield _example(item, f"{item.key}+{number:05d}", audio, look)
      number += 1
  except (BadSound, BadFile, OSError) as error:
    yield Unreadable(item.key, _why(item.path, error))


def _chain(first: Samples, second: Samples, rest: Iterator[Samples]) -> Iterator[Samples]:
  yield first
  yield second
  yield from rest


def _pieces(item: SoundFile, look: Look) -> Iterator[Samples]:
  """The sound in pieces of `look.longest`, of which the last may be shorter.

  A piece is yielded once something comes after it, so that the only piece of a damaged file is not.
  """
  held: list[Samples] = []
  size = total = 0
  with open_file(item.path) as file:
    for block in sound_of(file, is_gsm=item.path.suffix.lower() == ".gsm"):
      held.append(to_int16(block))
      size += len(block)
      total += len(block)
      if total > _MOST:
        raise BadSound(f"longer than {_MOST // RATE // 3600} h")
      if size > look.longest:
        whole = np.concatenate(held)
        while len(whole) > look.longest:
          yield whole[: look.longest]
          whole = whole[look.longest :]
        held, size = [whole], len(whole)
  if size:
    yield np.concatenate(held)


def _example(item: SoundFile, key: str, audio: Samples, look: Look) -> Sound | Unreadable:
  audio = look.trimmed(audio)
  reason = look.why_not(audio)
  if reason is not None:
    return Unreadable(key, reason, fault=False)
  remarks = (Remark(CLIPPED),) if is_clipped(audio) else ()
  return Sound(key, audio, item.facts, item.group or item.key, remarks)


def _why(path: Path, error: Exception) -> str:
  """Why a file cannot be taken, in words that can be counted."""
  if isinstance(error, BadSound):
    kind = _kind(path)
    return str(error) if kind is None or kind in READABLE else f"format that is not read: {kind}"
  return error.reason if isinstance(error, BadFile) else f"cannot be read ({error.strerror})"


def _kind(path: Path) -> str | None:
  try:
    with open_file(path) as file:
      return format_of(file.read(HEAD))
  except (BadFile, OSError):
    return None
