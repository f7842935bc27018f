"""Writes what is said in sounds: `predict transcribe --workdir=RUN --input=A.mp3 --out=A.srt`.

One sound is shown as its text, or written to --out: .txt, .srt, .vtt, or .json with the time of
each word. Of several sounds, or a folder of them, each gets its file in the folder --out; those
that have one already are passed over, so that a command that was stopped goes on.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int16
from tqdm import tqdm

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Request
from pretrainjax.errors import UserError, nearest
from pretrainjax.objectives.supervised.ctc import CTC
from pretrainjax.predict.audio_inputs import RATE, SUFFIXES, find_sounds, read, seconds_told
from pretrainjax.predict.language_model import add_flags as add_language_model_flags
from pretrainjax.predict.language_model import fusion_of
from pretrainjax.predict.sound_windows import Frames, Windows, frames_of
from pretrainjax.predict.subtitles import FORMS, Transcript
from pretrainjax.predict.transcription import Labels, Recognition
from pretrainjax.untrusted import BadFile
from pretrainjax.user_path import user_path

_WIDTH = 50  # of the beam, where there is a language model and no --beam
_SHOWN = 5


class _Task(NamedTuple):
  """The sounds of a command, and where their transcripts go.

  Attributes:
    paths: the places of the sounds.
    names: what each is called.
    outs: the file of each transcript; None shows them.
    form: what is written, a key of `FORMS`.
    is_one: whether one sound was asked for by its name.
  """

  paths: list[Path]
  names: list[str]
  outs: list[Path] | None
  form: str
  is_one: bool


class _Reading:
  """Reads sounds one after the other, and remembers which could be read."""

  def __init__(self, task: _Task):
    self.task, self.read, self.unreadable = task, [], {}

  def sounds(self) -> Iterator[Int16[np.ndarray, " _"]]:
    for number, path in enumerate(self.task.paths):
      try:
        samples = read(path)
      except BadFile as error:
        if self.task.is_one:
          raise UserError(f"--input: {error}") from error
        self.unreadable[self.task.names[number]] = error.reason
        continue
      self.read.append((number, len(samples) / RATE))
      yield samples


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict transcribe`."""
  parser.add_argument(
    "--input", nargs="+", metavar="FILE", help=f"sounds, or folders of them: {' '.join(SUFFIXES)}"
  )
  parser.add_argument(
    "--out", type=user_path, help="a .txt, .srt, .vtt or .json; a folder for several sounds"
  )
  parser.add_argument(
    "--form", choices=FORMS, help="what is written into a folder --out (default: json)"
  )
  parser.add_argument(
    "--beam",
    type=int,
    help=f"transcripts that are followed at once; 0 takes each frame's likeliest class (default: "
    f"0, with --lm {_WIDTH})",
  )
  add_language_model_flags(parser)
  parser.add_argument(
    "--window", type=float, default=30.0, help="seconds that are heard at once (default: 30)"
  )
  parser.add_argument(
    "--overlap", type=float, default=6.0, help="seconds that two windows share (default: 6)"
  )
  parser.add_argument("--batch_size", type=int, default=8, help="windows at once (default: 8)")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict transcribe`."""
  options = request.options
  task, windows = _task(options), _windows(options)
  recognition = _recognition(options, loaded, Reference.parse(request.workdir).folder)
  reading = _Reading(task)
  frames = frames_of(
    loaded.module, reading.sounds(), windows=windows, blank_id=recognition.labels.blank_id
  )
  total = sum(map(seconds_told, task.paths))
  with tqdm(total=round(total), desc="transcribe", unit=" s", disable=None) as bar:
    for place, parts in enumerate(frames):
      words = tuple(recognition.words(_told(parts, bar)))
      number, seconds = reading.read[place]
      _give(Transcript(task.names[number], seconds, words), task, number)
  _tell(task, reading)


def _told(parts: Iterator[Frames], bar: Any) -> Iterator[Frames]:
  """The parts, each of which moves the bar on."""
  for part in parts:
    yield part
    bar.update(round(len(part.begins) * part.step, 1))


def _give(transcript: Transcript, task: _Task, number: int) -> None:
  """Shows a transcript, or writes it to a file that is there once it is whole."""
  if task.outs is None:
    print(transcript.text if task.is_one else f"{transcript.name}\t{transcript.text}", flush=True)
    return
  out = task.outs[number]
  out.parent.mkdir(parents=True, exist_ok=True)
  temporary = out.with_name(f".{os.getpid()}.{out.name}")
  temporary.write_text(FORMS[task.form](transcript), encoding="utf-8")
  os.replace(temporary, out)


def _tell(task: _Task, reading: _Reading) -> None:
  """Says what was done, and of what nothing could be."""
  if not reading.read and reading.unreadable:
    name, reason = next(iter(reading.unreadable.items()))
    raise UserError(
      f"--input: none of {len(task.paths)} sounds can be read, such as {name}: {reason}"
    )
  if task.outs is not None:
    seconds = sum(seconds for _, seconds in reading.read)
    where = task.outs[0] if task.is_one else Path(os.path.commonpath([p.parent for p in task.outs]))
    print(f"transcripts of {len(reading.read)} sounds, {seconds:,.0f} s: {where}")
  if reading.unreadable:
    shown = [f"{name} ({reason})" for name, reason in reading.unreadable.items()][:_SHOWN]
    left = f"left out {len(reading.unreadable)} that cannot be read: {'; '.join(shown)}"
    print(left, file=sys.stderr if task.outs is None else sys.stdout)


def _recognition(options: argparse.Namespace, loaded: Loaded, workdir: Path) -> Recognition:
  objective = loaded.objective
  if not isinstance(objective, CTC) or not hasattr(loaded.module, "head"):
    raise UserError(f"--workdir: '{workdir}' is {loaded.title}, expected a run of CTC")
  tokenizer = loaded.tokenizer
  if tokenizer is None:
    raise UserError(
      f"--workdir: '{workdir}' has no tokenizer.json, expected that of its transcripts"
    )
  labels = Labels.of(tokenizer, num_classes=objective.vocab_size, blank_id=objective.blank_id)
  fusion = fusion_of(options, labels)
  width = (0 if fusion is None else _WIDTH) if options.beam is None else options.beam
  if width < 0 or (fusion is not None and not width):
    least = 0 if fusion is None else 1
    raise UserError(f"--beam: found {width}, expected at least {least}")
  return Recognition(labels, width=width, fusion=fusion)


def _windows(options: argparse.Namespace) -> Windows:
  if options.batch_size < 1:
    raise UserError(f"--batch_size: found {options.batch_size}, expected at least 1")
  if not 1 <= options.window <= 3600:
    raise UserError(f"--window: found {options.window:g}, expected 1 to 3600 seconds")
  if not 0 <= options.overlap <= options.window / 2:
    raise UserError(
      f"--overlap: found {options.overlap:g}, expected 0 to half of the window, "
      f"{options.window / 2:g} seconds"
    )
  return Windows(options.window, options.overlap, options.batch_size)


def _task(options: argparse.Namespace) -> _Task:
  if not options.input:
    raise UserError("--input: found nothing, expected sounds, or a folder of them")
  paths, names = find_sounds(options.input)
  out = options.out
  is_one = len(options.input) == 1 and not user_path(options.input[0]).is_dir()
  if out is None:
    if options.form is not None:
      raise UserError(f"--form: found {options.form}, but no --out to write it to")
    return _Task(paths, names, None, "txt", is_one)
  if is_one:
    return _Task(paths, names, [_new_file(out, options.form)], options.form or out.suffix[1:], True)
  form = options.form or "json"
  if out.exists() and not out.is_dir():
    raise UserError(f"--out: '{out}' is a file, expected a folder for {len(paths)} sounds")
  return _to_folder(paths, names, out, form)


def _to_folder(paths: list[Path], names: list[str], out: Path, form: str) -> _Task:
  """The sounds that have no transcript in the folder yet."""
  # The whole name with its suffix: "a.wav" and "a.mp3" are two.
  outs = [out / f"{name}.{form}" for name in names]
  if len(set(outs)) < len(outs):
    twice = next(name for name in names if names.count(name) > 1)
    raise UserError(f"--input: two sounds are called '{twice}'; transcribe them one by one")
  missing = [i for i, path in enumerate(outs) if not path.exists()]
  if not missing:
    raise UserError(f"--out: '{out}' has the transcripts of all {len(outs)} sounds already")
  if len(missing) < len(outs):
    print(f"{len(outs) - len(missing)} sounds have transcripts in {out} already")
  chosen = ([found[i] for i in missing] for found in (paths, names, outs))
  return _Task(*chosen, form, False)


def _new_file(out: Path, form: str | None) -> Path:
  if out.suffix[1:] not in FORMS or form not in (None, out.suffix[1:]):
    known = [f".{name}" for name in (FORMS if form is None else (form,))]
    hint = nearest(out.suffix, known) if form is None else ""
    raise UserError(f"--out: found '{out}', expected {' '.join(known)}{hint}")
  if out.exists():
    raise UserError(f"--out: '{out}' is there already; remove it, or choose another")
  if not out.absolute().parent.is_dir():
    raise UserError(f"--out: there is no folder '{out.parent}'")
  return out
