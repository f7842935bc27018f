"""Transcripts by a run of CTC: frames of windows that overlap, joined, then words."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.errors import UserError
from pretrainjax.objectives.supervised.ctc import CTC
from pretrainjax.predict.ctc_words import Labels, Recognition, Word
from pretrainjax.predict.language_model import add_flags as add_language_model_flags
from pretrainjax.predict.language_model import fusion_of
from pretrainjax.predict.sound_windows import Frames, Windows, frames_of

# What is of this kind of recogniser alone.
FLAGS = ("beam", "lm", "window", "overlap")
_WIDTH = 50  # of the beam, where there is a language model and no --beam
_WINDOW, _OVERLAP = 30.0, 6.0


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of runs of CTC."""
  parser.add_argument(
    "--beam",
    type=int,
    help=f"transcripts that are followed at once; 0 takes each frame's likeliest class (default: "
    f"0, with --lm {_WIDTH})",
  )
  add_language_model_flags(parser)
  parser.add_argument(
    "--window", type=float, help=f"seconds that are heard at once (default: {_WINDOW:g})"
  )
  parser.add_argument(
    "--overlap", type=float, help=f"seconds that two windows share (default: {_OVERLAP:g})"
  )


def is_recogniser(loaded: Loaded) -> bool:
  """Whether a run was trained to transcribe by CTC."""
  return isinstance(loaded.objective, CTC) and hasattr(loaded.module, "head")


def words_of(
  options: argparse.Namespace, loaded: Loaded
) -> Callable[[Iterable[np.ndarray], Callable[[float], Any]], Iterator[tuple[Word, ...]]]:
  """A function that yields the words of sounds, in order.

  Args:
    options: the flags of `add_flags`, and `batch_size`.
    loaded: the run, which `is_recogniser`.

  Raises:
    UserError: for flags that make no search.
  """
  windows, recognition = _windows(options), _recognition(options, loaded)

  def found(sounds: Iterable[np.ndarray], tell: Callable[[float], Any]):
    frames = frames_of(loaded.module, sounds, windows=windows, blank_id=recognition.labels.blank_id)
    for parts in frames:
      yield tuple(recognition.words(_told(parts, tell)))

  return found


def _told(parts: Iterator[Frames], tell: Callable[[float], Any]) -> Iterator[Frames]:
  """The parts, each of which moves the bar on."""
  for part in parts:
    yield part
    tell(round(len(part.begins) * part.step, 1))


def _recognition(options: argparse.Namespace, loaded: Loaded) -> Recognition:
  objective, tokenizer = loaded.objective, loaded.tokenizer
  assert isinstance(objective, CTC)
  if tokenizer is None:
    raise UserError(
      f"--workdir: '{loaded.workdir}' has no tokenizer.json, expected that of its transcripts"
    )
  labels = Labels.of(tokenizer, num_classes=objective.vocab_size, blank_id=objective.blank_id)
  fusion = fusion_of(options, labels)
  width = (0 if fusion is None else _WIDTH) if options.beam is None else options.beam
  if width < 0 or (fusion is not None and not width):
    least = 0 if fusion is None else 1
    raise UserError(f"--beam: found {width}, expected at least {least}")
  return Recognition(labels, width=width, fusion=fusion)


def _windows(options: argparse.Namespace) -> Windows:
  window = _WINDOW if options.window is None else options.window
  overlap = min(_OVERLAP, window / 2) if options.overlap is None else options.overlap
  if not 1 <= window <= 3600:
    raise UserError(f"--window: found {window:g}, expected 1 to 3600 seconds")
  if not 0 <= overlap <= window / 2:
    raise UserError(
      f"--overlap: found {overlap:g}, expected 0 to half of the window, {window / 2:g} seconds"
    )
  return Windows(window, overlap, options.batch_size)
