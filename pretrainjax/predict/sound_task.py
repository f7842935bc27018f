"""The sounds of a `predict transcribe`, where their transcripts go, and what is done already."""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int16

from pretrainjax.errors import UserError, nearest
from pretrainjax.predict.audio_inputs import RATE, SUFFIXES, find_sounds, read
from pretrainjax.predict.subtitles import FORMS, Transcript, row
from pretrainjax.untrusted import BadFile
from pretrainjax.user_path import user_path
from pretrainjax.workdir import json_lines

TABLE = "jsonl"
_SHOWN = 5


class Task(NamedTuple):
  """The sounds of a command, and where their transcripts go.

  Attributes:
    paths: the places of the sounds.
    names: what each is called.
    outs: the file of each transcript; None shows them, or writes them to `table`.
    form: what is written, a key of `FORMS`, or `TABLE`.
    is_one: whether one sound was asked for by its name.
    table: the one file of all transcripts; None without one.
  """

  paths: list[Path]
  names: list[str]
  outs: list[Path] | None
  form: str
  is_one: bool
  table: Path | None = None

  @property
  def is_in_order(self) -> bool:
    """Whether transcripts have to come in the order of the sounds."""
    return self.outs is None


class Reading:
  """Reads sounds one after the other, and remembers which could be read."""

  def __init__(self, task: Task):
    self.task, self.unreadable = task, {}
    self.read: list[tuple[int, float]] = []

  def sounds(self) -> Iterator[Int16[np.ndarray, " _"]]:
    """Yields the samples of those that can be read; `read` has their numbers and seconds."""
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
  """Adds the flags that say what is read and written."""
  parser.add_argument(
    "--input", nargs="+", metavar="FILE", help=f"sounds, or folders of them: {' '.join(SUFFIXES)}"
  )
  parser.add_argument(
    "--out",
    type=user_path,
    help=f"a .txt, .srt, .vtt or .json; a folder for several sounds; a .{TABLE} for a table of all",
  )
  parser.add_argument(
    "--form",
    choices=[*FORMS, TABLE],
    help="what is written into a folder --out (default: json)",
  )


def task_of(options: argparse.Namespace) -> Task:
  """What the flags ask for, without what is done already.

  Raises:
    UserError: for sounds that are not there, or places that cannot be written to.
  """
  if not options.input:
    raise UserError("--input: found nothing, expected sounds, or a folder of them")
  paths, names = find_sounds(options.input)
  out, form = options.out, options.form
  is_one = len(options.input) == 1 and not user_path(options.input[0]).is_dir()
  if out is None:
    if form is not None:
      raise UserError(f"--form: found {form}, but no --out to write it to")
    return Task(paths, names, None, "txt", is_one)
  if TABLE in (form, out.suffix[1:]):
    return _to_table(paths, names, out, form, is_one)
  if is_one:
    return Task(paths, names, [_new_file(out, form)], form or out.suffix[1:], True)
  if out.exists() and not out.is_dir():
    raise UserError(f"--out: '{out}' is a file, expected a folder for {len(paths)} sounds")
  return _to_folder(paths, names, out, form or "json")


def give(transcript: Transcript, task: Task, number: int) -> None:
  """Shows a transcript, or writes it to a file that is there once it is whole.

  Args:
    transcript: what was said.
    task: what was asked for.
    number: the number of the sound in it.
  """
  if task.table is not None:
    json_lines.append(task.table, row(transcript))
  elif task.outs is None:
    print(transcript.text if task.is_one else f"{transcript.name}\t{transcript.text}", flush=True)
  else:
    out = task.outs[number]
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{os.getpid()}.{out.name}")
    temporary.write_text(FORMS[task.form](transcript), encoding="utf-8")
    os.replace(temporary, out)


def tell(task: Task, reading: Reading) -> None:
  """Says what was done, and of what nothing could be.

  Args:
    task: what was asked for.
    reading: what was read of it.

  Raises:
    UserError: where nothing could be read.
  """
  if not reading.read and reading.unreadable:
    name, reason = next(iter(reading.unreadable.items()))
    raise UserError(
      f"--input: none of {len(task.paths)} sounds can be read, such as {name}: {reason}"
    )
  where = task.table
  if task.outs is not None:
    one = task.outs[0]
    where = one if task.is_one else Path(os.path.commonpath([p.parent for p in task.outs]))
  if where is not None:
    seconds = sum(seconds for _, seconds in reading.read)
    print(f"transcripts of {len(reading.read)} sounds, {seconds:,.0f} s: {where}")
  if reading.unreadable:
    shown = [f"{name} ({reason})" for name, reason in reading.unreadable.items()][:_SHOWN]
    left = f"left out {len(reading.unreadable)} that cannot be read: {'; '.join(shown)}"
    print(left, file=sys.stderr if where is None else sys.stdout)


def _to_folder(paths: list[Path], names: list[str], out: Path, form: str) -> Task:
  """The sounds that have no transcript in the folder yet."""
  # The whole name with its suffix: "a.wav" and "a.mp3" are two.
  outs = [out / f"{name}.{form}" for name in names]
  _check_names(names)
  missing = [i for i, path in enumerate(outs) if not path.exists()]
  _tell_done(len(outs), len(missing), out)
  chosen = ([found[i] for i in missing] for found in (paths, names, outs))
  return Task(*chosen, form, False)


def _to_table(
  paths: list[Path], names: list[str], out: Path, form: str | None, is_one: bool
) -> Task:
  """The sounds that have no row in the table yet."""
  if out.suffix != f".{TABLE}" or form not in (None, TABLE):
    raise UserError(f"--out: found '{out}', expected .{TABLE if form == TABLE else form}")
  if not out.absolute().parent.is_dir():
    raise UserError(f"--out: there is no folder '{out.parent}'")
  _check_names(names)
  rows = json_lines.rows(out)
  if not rows and out.exists() and out.stat().st_size:
    raise UserError(f"--out: '{out}' is no table of transcripts; choose another")
  done = {found.get("file_name") for found in rows}
  missing = [i for i, name in enumerate(names) if name not in done]
  _tell_done(len(names), len(missing), out)
  return Task([paths[i] for i in missing], [names[i] for i in missing], None, TABLE, is_one, out)


def _check_names(names: list[str]) -> None:
  if len(set(names)) < len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise UserError(f"--input: two sounds are called '{twice}'; transcribe them one by one")


def _tell_done(wanted: int, missing: int, out: Path) -> None:
  if not missing:
    raise UserError(f"--out: '{out}' has the transcripts of all {wanted} sounds already")
  if missing < wanted:
    print(f"{wanted - missing} sounds have transcripts in {out} already")


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
