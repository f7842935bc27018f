"""The command line of `benchmark`: its verbs, and what they start."""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax

from pretrainjax.command import Request, launch, refused


class _Verb(NamedTuple):
  """A module with `add_flags(parser)` and `work(request)`, and what it does."""

  module: str
  description: str


_VERBS = {
  "plan": _Verb("plan", "Memory on each device, for the config's mesh and others; runs nothing."),
  "step": _Verb("step_time", "Time, rate and memory of training steps, on real or made-up data."),
  "data": _Verb("data_rate", "The input pipeline alone, by number of threads."),
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs a verb of `benchmark`; returns its exit status."""
  arguments = list(sys.argv[1:] if argv is None else argv)
  place = _verb_place(arguments)
  if place is not None:
    verb = arguments.pop(place)
  else:
    verb = "--help" if {"-h", "--help"} & set(arguments) else ""
  status = refused(verb, _VERBS, called="python -m pretrainjax.benchmark", name="benchmark")
  if status is not None:
    return status
  module = importlib.import_module(f"pretrainjax.benchmark.{_VERBS[verb].module}")

  def work(request: Request) -> None:
    # What was compiled before would be loaded: neither its time nor its memory would be told.
    jax.config.update("jax_compilation_cache_dir", None)
    module.work(request)

  return launch(
    work,
    verb=f"benchmark {verb}",
    description=_VERBS[verb].description,
    argv=arguments,
    add_flags=module.add_flags,
    needs_workdir=False,
    many_processes=verb == "step",
  )


def _verb_place(arguments: Sequence[str]) -> int | None:
  """Where the first word stands that is no flag, nor the value of one."""
  for place, argument in enumerate(arguments):
    before = arguments[place - 1] if place else ""
    is_value = before.startswith("--") and "=" not in before and argument not in _VERBS
    if not argument.startswith("-") and not is_value:
      return place
  return None
