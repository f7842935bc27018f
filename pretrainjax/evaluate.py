"""Evaluates a run: `python -m pretrainjax.evaluate --config=FILE --workdir=WORKDIR[@STEP]`.

Every number is stored with its protocol in WORKDIR/evaluation/results.jsonl, beside the same
number of an encoder with random parameters.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded, load
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Request, launch
from pretrainjax.config.allowed import ANYTHING, add_allow_flag, names_of_others
from pretrainjax.config.objects import build, seed_of
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.evaluators.compare import Comparison, Subject, compare
from pretrainjax.evaluators.results import append_results
from pretrainjax.objectives.split import abstract_split, split
from pretrainjax.process.ending import as_process
from pretrainjax.report.confusion import confusion_png
from pretrainjax.report.table import results_table
from pretrainjax.train.open_values import fill_in
from pretrainjax.workdir.tokenizer import check_tokenizers, data_of


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary.

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


def _work(request: Request) -> None:
  seed = seed_of(request.config)
  loaded = load(request.workdir, allow=(*request.options.allow, *names_of_others(request.config)))
  evals = _filled_in(request.config, loaded.config)
  evaluators = build(evals, path="config.evals", allow=ANYTHING)
  if (path := loaded.tokenizer_path) is not None:
    check_tokenizers(data_of(evaluators), Tokenizer.load(path), path=path)
  random = None
  if not request.options.no_random_init:
    random = _subject(loaded, _random_module(loaded, seed=seed))
  print(f"evaluating step {loaded.step} of {request.workdir}", flush=True)
  comparison = compare(
    evaluators,
    _subject(loaded, loaded.module),
    random,
    checkpoint=str(request.workdir),
    step=loaded.step,
    random_seed=seed,
  )
  _store(comparison, Reference.parse(request.workdir).folder / "evaluation", loaded.step)


def _filled_in(config: ConfigDict, run: ConfigDict) -> ConfigDict:
  """The evaluators of a config, with what they leave open as the run has it."""
  whole = ConfigDict({key: run[key] for key in ("objective", "data") if key in run})
  whole.evals = config.evals
  return fill_in(whole, only="evals", checks_data=False, allow=ANYTHING).evals


def _subject(loaded: Loaded, module: nnx.Module) -> Subject:
  return Subject(encoder=loaded.encoder_of(module), module=module)


def _random_module(loaded: Loaded, *, seed: int) -> nnx.Module:
  graphdef, _, _ = abstract_split(loaded.objective)
  make = jax.jit(lambda: split(loaded.objective.init(rngs=nnx.Rngs(seed)))[1:])
  return nnx.merge(graphdef, *make())


def _store(comparison: Comparison, folder: Path, step: int) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  append_results(folder / "results.jsonl", comparison.rows)
  print(results_table(comparison.rows))
  for name, outcome in comparison.outcomes.items():
    if outcome.confusion is not None:
      path = folder / f"confusion_{name}_{step}.png"
      confusion_png(outcome.confusion, outcome.class_names, path, title=name)
      print(f"confusion matrix: {path}")
  print(f"results: {folder / 'results.jsonl'}")


if __name__ == "__main__":
  as_process(main)
