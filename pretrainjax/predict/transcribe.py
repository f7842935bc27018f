"""Writes what is said in sounds: `predict transcribe --workdir=RUN --input=A.mp3 --out=A.srt`.

One sound is shown as its text, or written to --out: .txt, .srt, .vtt, or .json with times. Of
several sounds, or a folder of them, each gets its file in the folder --out, or its row in a table
.jsonl; those that have one already are passed over, so that a command that was stopped goes on.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from tqdm import tqdm

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.generation.whisper import is_whisper
from pretrainjax.predict import ctc_transcripts, sound_task, whisper_transcripts
from pretrainjax.predict.audio_inputs import seconds_told
from pretrainjax.predict.sound_task import Reading
from pretrainjax.predict.subtitles import Transcript

# Yields transcripts with the numbers of their sounds in the task.
Transcripts = Callable[[Reading, Callable[[float], Any]], Iterator[tuple[int, Transcript]]]


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict transcribe`."""
  sound_task.add_flags(parser)
  ctc_transcripts.add_flags(parser)
  whisper_transcripts.add_flags(parser)
  parser.add_argument("--batch_size", type=int, default=8, help="windows at once (default: 8)")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict transcribe`."""
  options = request.options
  if options.batch_size < 1:
    raise UserError(f"--batch_size: found {options.batch_size}, expected at least 1")
  task = sound_task.task_of(options)
  transcripts = _transcripts(options, loaded, Reference.parse(request.workdir))
  reading = Reading(task)
  total = sum(map(seconds_told, task.paths))
  with tqdm(total=round(total), desc="transcribe", unit=" s", disable=None) as bar:
    found = transcripts(reading, bar.update)
    for number, transcript in _in_order(found, reading) if task.is_in_order else found:
      sound_task.give(transcript, task, number)
  sound_task.tell(task, reading)


def _transcripts(options: argparse.Namespace, loaded: Loaded, reference: Reference) -> Transcripts:
  """What writes the transcripts, by the kind of network.

  Raises:
    UserError: for another network, or flags of the other kind.
  """
  by = f"machine: {_short(reference)}"
  if ctc_transcripts.is_recogniser(loaded):
    _refuse(options, whisper_transcripts.FLAGS, "a Whisper", "a run of CTC")
    words = ctc_transcripts.words_of(options, loaded)

    def by_ctc(reading: Reading, tell: Callable[[float], Any]):
      for place, found in enumerate(words(reading.sounds(), tell)):
        number, seconds = reading.read[place]
        name = reading.task.names[number]
        yield number, Transcript(name, seconds, found, transcriber=by)

    return by_ctc
  if not is_whisper(loaded):
    where = reference.folder
    raise UserError(f"--workdir: '{where}' is {loaded.title}, expected a run of CTC, or a Whisper")
  _refuse(options, ctc_transcripts.FLAGS, "a run of CTC", "a Whisper")
  segments = whisper_transcripts.segments_of(options, loaded)

  def by_whisper(reading: Reading, tell: Callable[[float], Any]):
    for spoken in segments(reading.sounds(), tell):
      number, seconds = reading.read[spoken.sound]
      name, language = reading.task.names[number], spoken.language
      yield number, Transcript(name, seconds, (), spoken.segments, language, by)

  return by_whisper


def _refuse(options: argparse.Namespace, flags: tuple[str, ...], owner: str, found: str) -> None:
  for name in flags:
    if (value := getattr(options, name)) is not None:
      raise UserError(f"--{name}: found {value}, which is for {owner}, not for {found}")


def _short(reference: Reference) -> str:
  """A reference without the folders that only this machine has."""
  text, folder = str(reference), str(reference.folder)
  return text.replace(folder, "/".join(reference.folder.parts[-2:]).lstrip("/"), 1)


def _in_order(
  found: Iterator[tuple[int, Transcript]], reading: Reading
) -> Iterator[tuple[int, Transcript]]:
  """The same in the order of the sounds: one that is done before another waits for it."""
  waiting: dict[int, Transcript] = {}
  place = 0
  for number, transcript in found:
    waiting[number] = transcript
    while place < len(reading.read) and reading.read[place][0] in waiting:
      number = reading.read[place][0]
      yield number, waiting.pop(number)
      place += 1
