"""Says what to show next: `predict recommend --workdir=WORKDIR --user=ID`, or --history, or --file.

For users of whom nothing is known it is what all took most of late, and is said to be. Order is
kept, and a command with --out that was stopped goes on where it was when it is given again:
finished parts lie in OUT.parts until all are there.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.fingerprint import fingerprint
from pretrainjax.command import Request
from pretrainjax.data.fingerprint import dataset_fingerprint
from pretrainjax.errors import UserError
from pretrainjax.objectives.split import split
from pretrainjax.predict.askers import SUFFIXES as FILES
from pretrainjax.predict.askers import (
  Asker,
  Question,
  asker_of,
  known_user,
  read_questions,
  somebody,
)
from pretrainjax.predict.feature_file import new_file
from pretrainjax.predict.item_log import ItemLog, open_log
from pretrainjax.predict.parts import claim, in_parts
from pretrainjax.predict.recommended_file import SUFFIXES, Recommended, write_recommended
from pretrainjax.predict.recommender import Options, ScoredItems
from pretrainjax.predict.texts import digest_of_texts
from pretrainjax.untrusted import read_text
from pretrainjax.user_path import user_path

_MOST_NAMES = 1 << 26  # bytes of a list of items
_LEFT_OUT = "not in the set:"
_PART = 4096  # lists: what a command that is stopped loses at most


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict recommend`."""
  parser.add_argument("--user", action="append", help="a user's id in the log; again for more")
  parser.add_argument(
    "--history",
    action="append",
    metavar="ITEM,ITEM",
    help="what somebody took, oldest first: ids or titles; semicolons part what commas cannot",
  )
  parser.add_argument(
    "--file", metavar="FILE", help=f"users or histories, a row each: {', '.join(FILES)}"
  )
  parser.add_argument("--out", metavar="FILE", help=f"{', '.join(SUFFIXES)}; unless given, shown")
  parser.add_argument("--top", type=int, default=10, help="items of each list (default: 10)")
  for flag, what in (("allow_items", "only these"), ("block_items", "none of these")):
    parser.add_argument(
      f"--{flag}", metavar="ITEMS", help=f"{what}: names with commas, or a file with one a line"
    )
  parser.add_argument(
    "--seen",
    choices=("filtered", "shown"),
    default="filtered",
    help="whether what one took may be recommended again (default: filtered)",
  )
  parser.add_argument(
    "--days", type=float, default=7.0, help="the window of popularity for cold users (default: 7)"
  )
  parser.add_argument("--batch_size", type=int, default=64, help="at once (default: 64)")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict recommend`."""
  options = request.options
  out = _checked(options)
  log = open_log(loaded, options)
  given = Options(
    top=min(options.top, log.items.num_items),
    is_shown=_shown(log, options),
    shows_seen=options.seen == "shown",
    days=options.days,
    batch_size=options.batch_size,
  )
  scored = ScoredItems(loaded.encoder, log, length=_length(loaded), options=given)
  if options.file is None:
    askers = _askers(options, log)
    _give(_lists(askers, scored.best(askers), log, given), out, log, given)
    return
  questions = read_questions(user_path(options.file))
  if out is None:
    _give(_asked(questions, scored, log, given), None, log, given)
    return
  folder = out.with_name(out.name + ".parts")
  claim(folder, _identity(options, loaded, log, given))
  _give(_asked_in_parts(questions, scored, log, given, folder), out, log, given)
  shutil.rmtree(folder)


def _checked(options: argparse.Namespace) -> Path | None:
  """The file to write, once the flags are in order."""
  ways = [name for name in ("user", "history", "file") if getattr(options, name)]
  if len(ways) != 1:
    found = " and ".join(f"--{name}" for name in ways) or "nothing"
    raise UserError(f"--user: found {found}, expected one of --user, --history and --file")
  for flag in ("top", "batch_size"):
    if getattr(options, flag) < 1:
      raise UserError(f"--{flag}: found {getattr(options, flag)}, expected at least 1")
  if not options.days > 0:
    raise UserError(f"--days: found {options.days:g}, expected above 0")
  return None if options.out is None else new_file(options.out, SUFFIXES)


def _shown(log: ItemLog, options: argparse.Namespace) -> Bool[np.ndarray, " V"]:
  """Which items may be recommended to anybody."""
  shown = np.full(log.items.num_items + 1, options.allow_items is None)
  for flag, value in (("allow_items", True), ("block_items", False)):
    if (given := getattr(options, flag)) is not None:
      shown[[log.names.number(name, flag=f"--{flag}") for name in _names(given, log)]] = value
  shown[0] = False
  if not shown.any():
    raise UserError("--block_items: nothing is left to recommend, expected at least one item")
  return shown


def _names(given: str, log: ItemLog) -> list[str]:
  path = user_path(given)
  if not path.is_file():
    return log.names.split(given)
  text = read_text(path, limit=_MOST_NAMES)
  return [line.strip() for line in text.splitlines() if line.strip()]


def _length(loaded: Loaded) -> int:
  """The most events of a history that the run reads."""
  found = getattr(loaded.encoder, "max_length", None)
  return found or loaded.config.get("data", {}).get("length")


def _askers(options: argparse.Namespace, log: ItemLog) -> list[Asker]:
  if options.user:
    return [known_user(name, log) for name in options.user]
  found = [somebody(history, log) for history in options.history]
  for asker in found:
    for name in asker.unknown:
      log.names.number(name, flag="--history")  # which says what is near
  return found


def _asked(
  questions: Sequence[Question], scored: ScoredItems, log: ItemLog, options: Options
) -> Iterator[Recommended]:
  for start in range(0, len(questions), options.batch_size):
    askers = [asker_of(q, log) for q in questions[start : start + options.batch_size]]
    yield from _lists(askers, scored.best(askers), log, options)


def _asked_in_parts(
  questions: Sequence[Question], scored: ScoredItems, log: ItemLog, options: Options, folder: Path
) -> Iterator[Recommended]:
  def askers(start: int, size: int) -> list[Asker]:
    return [asker_of(question, log) for question in questions[start : start + size]]

  names = ("items", "scores", "popular")
  made = in_parts(
    folder,
    len(questions),
    size=_PART,
    names=names,
    make=lambda start, size: scored.best(askers(start, size)),
  )
  for number, best in enumerate(made):
    yield from _lists(askers(number * _PART, _PART), best, log, options)


def _lists(
  askers: Sequence[Asker], best: Mapping[str, np.ndarray], log: ItemLog, options: Options
) -> Iterator[Recommended]:
  for row, asker in enumerate(askers):
    found = best["items"][row]
    items, scores = found[found > 0].tolist(), best["scores"][row][found > 0].tolist()
    by = _popularity(log, options) if best["popular"][row] else "model"
    if asker.unknown:
      by += f" ({_LEFT_OUT} {', '.join(asker.unknown)})"
    ids, titles = [log.items.ids[i] for i in items], [log.names.title(i) for i in items]
    yield Recommended(asker.name, by, ids, titles, scores)


def _popularity(log: ItemLog, options: Options) -> str:
  if not log.has_times:
    return "popularity"
  return f"popularity of the last {options.days:g} days"


def _give(rows: Iterator[Recommended], out: Path | None, log: ItemLog, options: Options) -> None:
  """Shows lists or writes them, and says how many are of cold users."""
  count, cold, unknown = 0, 0, 0

  def counted() -> Iterator[Recommended]:
    nonlocal count, cold, unknown
    for row in rows:
      count += 1
      cold += row.by.startswith("popularity")
      unknown += _LEFT_OUT in row.by
      yield row

  if out is None:
    for row in counted():
      print(row.lines, flush=True)
  else:
    write_recommended(out, counted())
    print(f"{count} lists of {options.top} items: {out}")
  to = sys.stderr if out is None else sys.stdout
  if cold:
    what = _popularity(log, options)
    print(f"nothing is known of {cold} of {count}: they get the {what}", file=to)
  if unknown:
    print(f"histories of {unknown} of {count} name items that are not in the set", file=to)


def _identity(
  options: argparse.Namespace, loaded: Loaded, log: ItemLog, given: Options
) -> dict[str, Any]:
  """All that the lists depend on."""
  return {
    "file": digest_of_texts(user_path(options.file)),
    "parameters": sum(fingerprint(split(loaded.encoder)[1]).values()),
    "set": dict(dataset_fingerprint(log.source.folder)),
    "top": given.top,
    "shown": np.flatnonzero(~given.is_shown).tolist(),
    "seen": options.seen,
    "days": given.days,
  }
