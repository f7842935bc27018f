"""What `evaluate` does: from a run and a config of evaluators to a table of numbers."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.chosen import choose_step
from pretrainjax.checkpoint.encoder import Loaded, load
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Request, launch
from pretrainjax.config.allowed import ANYTHING, add_allow_flag, names_of_others
from pretrainjax.config.objects import build, seed_of
from pretrainjax.errors import UserError
from pretrainjax.evaluators.base import Evaluation
from pretrainjax.evaluators.compare import Comparison, Subject, compare
from pretrainjax.evaluators.results import RESULTS, append_results
from pretrainjax.objectives.split import abstract_split, split
from pretrainjax.report.confusion import confusion_png
from pretrainjax.report.table import results_table
from pretrainjax.report.worst import worst_text, write_worst
from pretrainjax.train.evaluation import open_evaluators, switched_on
from pretrainjax.train.open_values import fill_in
from pretrainjax.untrusted import try_to_write
from pretrainjax.user_path import user_path
from pretrainjax.workdir.tokenizer import check_tokenizers, data_of


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that evaluates a trained encoder.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  return launch(
    _work,
    verb="evaluate",
    description="Measure a run's encoder (--workdir=WORKDIR[@STEP]) and a random one beside it.",
    argv=argv,
    add_flags=_add_flags,
  )


def _add_flags(parser: argparse.ArgumentParser) -> None:
  add_allow_flag(parser)
  parser.add_argument(
    "--no_random_init", action="store_true", help="leave the column of the random encoder out"
  )
  parser.add_argument(
    "--out",
    type=user_path,
    metavar="DIR",
    help="folder for results.jsonl and pictures; WORKDIR/evaluation else",
  )


def _work(request: Request) -> None:
  seed = seed_of(request.config)
  chosen, why = choose_step(str(request.workdir))
  trusted = (*request.options.allow, *names_of_others(request.config))
  loaded = load(str(chosen), allow=trusted)
  evals = _filled_in(request.config, loaded)
  evaluators = switched_on(build(evals, path="config.evals", allow=ANYTHING))
  evaluators = _opened(evaluators, loaded)
  folder = _results_folder(request)  # of a run that is there: nothing is made for a misspelt one
  random = None
  if not request.options.no_random_init:
    random = _subject(loaded, _random_module(loaded, seed=seed))
  said = f": {why}" if why else ""
  step = loaded.step if loaded.source == "run" else None
  at = "" if step is None else f"step {step} of "
  print(f"evaluating {at}{request.workdir}{said}", flush=True)
  comparison = compare(
    evaluators,
    _subject(loaded, loaded.module),
    random,
    checkpoint=str(request.workdir),
    step=step,
    random_seed=seed,
  )
  print(results_table(comparison.rows), flush=True)
  for name, outcome in comparison.outcomes.items():
    if outcome.worst:
      print(f"\n{worst_text(name, outcome.worst)}", flush=True)
  if folder is not None:
    _store(comparison, folder, loaded.step)


def _results_folder(request: Request) -> Path | None:
  """The folder for results; None, with a line, for a run that others only let us read.

  Raises:
    UserError: for a folder that the user named and that cannot be written.
  """
  named, reference = request.options.out, Reference.parse(request.workdir)
  if named is None and reference.source != "run":
    print("evaluate: the table is printed and not stored; --out=DIR stores it", file=sys.stderr)
    return None
  folder = named or reference.folder / "evaluation"
  try:
    try_to_write(folder)
  except OSError as error:
    if named:
      raise UserError(f"--out: cannot write to '{folder}' ({error.strerror})") from error
    print(
      f"evaluate: '{folder}' cannot be written ({error.strerror}): the table is printed and not "
      "stored; --out=DIR stores it elsewhere",
      file=sys.stderr,
    )
    return None
  return folder


def _opened(evaluators: Mapping[str, Evaluation], loaded: Loaded) -> dict[str, Evaluation]:
  """The evaluators that can run on their data and this network; a line for each other one."""
  encoder = loaded.encoder_of(loaded.module)
  opened = open_evaluators(evaluators, encoder=encoder, module=loaded.module)
  for name, reason in opened.left_out.items():
    print(f"left out   {name}: {reason}")
  if not opened.evaluators:
    raise UserError("--config.evals: found no evaluator that can run, expected at least one")
  if (tokenizer := loaded.tokenizer) is not None:
    check_tokenizers(data_of(opened.evaluators), tokenizer)
  return opened.evaluators


def _filled_in(config: ConfigDict, loaded: Loaded) -> ConfigDict | None:
  """The evaluators of a config, with what they leave open as the run, or one tower, has it."""
  run = loaded.config
  whole = ConfigDict({key: run[key] for key in ("objective", "data") if key in run})
  if loaded.part is not None and "backbone" not in whole.objective:
    whole.objective = ConfigDict({"backbone": loaded.parts[loaded.part].config})
  whole.evals = config.evals
  return fill_in(whole, only="evals", checks_data=False, allow=ANYTHING).evals


def _subject(loaded: Loaded, module: nnx.Module) -> Subject:
  return Subject(encoder=loaded.encoder_of(module), module=module)


def _random_module(loaded: Loaded, *, seed: int) -> nnx.Module:
  graphdef, _, _ = abstract_split(loaded.objective)
  make = jax.jit(lambda: split(loaded.objective.init(rngs=nnx.Rngs(seed)))[1:])
  return nnx.merge(graphdef, *make())


def _store(comparison: Comparison, folder: Path, step: int) -> None:
  append_results(folder / RESULTS, comparison.rows)
  for name, outcome in comparison.outcomes.items():
    if outcome.confusion is not None:
      path = folder / f"confusion_{name}_{step}.png"
      confusion_png(outcome.confusion, outcome.class_names, path, title=name)
      print(f"confusion matrix: {path}")
    if outcome.worst:
      path = folder / f"worst_{name}_{step}.jsonl"
      write_worst(path, outcome.worst)
      print(f"the worst {len(outcome.worst)} of {name}: {path}")
  print(f"results: {folder / RESULTS}")
