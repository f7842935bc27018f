"""Transcripts by a Whisper, in segments with their times."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

import numpy as np

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.errors import UserError
from pretrainjax.generation.whisper import Spoken, Whisper, Writing
from pretrainjax.generation.whisper_tokens import Task

# What is of this kind of recogniser alone.
FLAGS = ("language", "task", "no_speech")


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of Whispers."""
  parser.add_argument(
    "--language", metavar="CODE", help="what is spoken, such as de (default: a Whisper hears it)"
  )
  parser.add_argument(
    "--task",
    choices=get_args(Task),
    help="translate has a Whisper write in English (default: transcribe)",
  )
  parser.add_argument(
    "--no_speech",
    type=float,
    help="the probability of silence from which on a Whisper may leave a window out (default: 0.6)",
  )


def segments_of(
  options: argparse.Namespace, loaded: Loaded
) -> Callable[[Iterable[np.ndarray], Callable[[float], Any]], Iterator[Spoken]]:
  """A function that yields what is said in sounds; which come first that are done first.

  Args:
    options: the flags of `add_flags`, and `batch_size`.
    loaded: the model, which is a Whisper.

  Raises:
    UserError: for a language or a task that the model does not have.
  """
  found = {name: getattr(options, name) for name in FLAGS}
  given = {name: value for name, value in found.items() if value is not None}
  if not 0 <= given.get("no_speech", 0.6) <= 1:
    raise UserError(f"--no_speech: found {options.no_speech:g}, expected a probability")
  writing, whisper = Writing(**given, batch_size=options.batch_size), Whisper(loaded)
  whisper.check(writing)
  return lambda sounds, tell: whisper.transcribe_all(sounds, writing=writing, tell=tell)
