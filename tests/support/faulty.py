"""A binary in which something happens: `python faulty.py WHAT:WHERE:TIME VERB ARGUMENTS`.

WHAT is "hang", "pause" (for 4 s), "raise", "raise_beside_a_thread" (which does not end) or "jump"
(of the clock, by ten years and more); WHERE is one of WHERES; TIME counts the calls there, from 1.
"""

import importlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from pretrainjax.command import BINARIES
from pretrainjax.process.ending import as_process

# What is called where: module, class or nothing, function.
WHERES = {
  "data": ("data.prefetch", "Prefetched", "__next__"),
  "step": ("train.step_log", "StepLog", "finish"),
  "evaluation": ("train.loop", None, "evaluate"),
  "evaluator": ("evaluators.collapse", "Collapse", "outcome"),
  "checkpoint": ("checkpoint.manager", "Checkpoints", "save"),
  "compile": ("train.assemble", "Run", "step"),
}


_REAL, _JUMPS = time.time, iter((-3e8, 3e8))


def happen(what: str) -> None:
  """The fault itself."""
  sys.stderr.write(f"fault at {time.monotonic()}\n")
  sys.stderr.flush()
  if what == "hang":
    time.sleep(1000)
  if what in ("jump", "pause"):
    jump() if what == "jump" else time.sleep(4)
    return
  if what == "raise_beside_a_thread":
    threading.Thread(target=time.sleep, args=(1000,)).start()
  raise RuntimeError("the culprit")


def jump() -> None:
  """The time of day goes back ten years, and the next time it goes forth by twenty."""
  years = next(_JUMPS)
  time.time = lambda: _REAL() + years


def faulty(function: Callable[..., Any], what: str, at: int) -> Callable[..., Any]:
  """The function, but for its call number `at`."""
  calls = 0

  def call(*args: Any, **kwargs: Any) -> Any:
    nonlocal calls
    calls += 1
    if calls == at or (what == "jump" and calls == 2 * at):
      happen(what)
    return function(*args, **kwargs)

  return call


def main() -> None:
  """Puts the fault in and runs the binary."""
  what, where, at = sys.argv[1].split(":")
  module, name, function = WHERES[where]
  owner = importlib.import_module(f"pretrainjax.{module}")
  owner = owner if name is None else getattr(owner, name)
  setattr(owner, function, faulty(getattr(owner, function), what, int(at)))
  verb = sys.argv[2]
  as_process(importlib.import_module(f"pretrainjax.{BINARIES.get(verb, verb)}").main, sys.argv[3:])


if __name__ == "__main__":
  main()
