"""Evaluates a trained encoder and, beside it, one with random parameters."""

from collections.abc import Mapping
from typing import NamedTuple

from flax import nnx

from pretrainjax.errors import UserError, one_line
from pretrainjax.evaluators.accuracy import per_class_accuracy
from pretrainjax.evaluators.base import Evaluation, Outcome
from pretrainjax.evaluators.features import FeatureCache
from pretrainjax.evaluators.results import CLASS_PREFIX, Row
from pretrainjax.types import Encoder

TRAINED, RANDOM_INIT = "trained", "random-init"


class Subject(NamedTuple):
  """An encoder to evaluate, with the module that it was trained in.

  Attributes:
    encoder: the encoder, which most evaluators measure.
    module: the objective's module, for evaluators that need its head; None leaves these out.
  """

  encoder: Encoder
  module: nnx.Module | None = None


class Comparison(NamedTuple):
  """The numbers of a trained encoder beside those of a random one.

  Attributes:
    rows: one a number, trained first, then random-init.
    outcomes: the outcomes of the trained encoder, by evaluator.
  """

  rows: list[Row]
  outcomes: dict[str, Outcome]


def compare(
  evaluators: Mapping[str, Evaluation],
  trained: Subject,
  random_init: Subject | None = None,
  *,
  checkpoint: str,
  step: int | None,
  random_seed: int = 0,
) -> Comparison:
  """Runs evaluators on a trained encoder and on a random one of the same architecture.

  Features that several evaluators ask for are computed once. A baseline that measures no network
  runs once, and stands with the trained encoder's.

  Args:
    evaluators: the evaluators to run, by name.
    trained: the encoder and module of a checkpoint.
    random_init: the same freshly initialised; None leaves the column out.
    checkpoint: the workdir that `trained` came from, for the rows.
    step: the step of the checkpoint; None for a model that has none.
    random_seed: the seed that `random_init` was made with, for the rows.

  Returns:
    Rows to store and print, and the trained encoder's outcomes.

  Raises:
    UserError: for an evaluator that needs a module where `trained` has none, and for data or
      features that an evaluator refuses.
  """
  rows, outcomes = [], {}
  for name, outcome in _outcomes(evaluators, trained).items():
    outcomes[name] = outcome
    protocol = evaluators[name].protocol() | _pool(trained, evaluators[name])
    rows += _rows(name, outcome, protocol, encoder=TRAINED, checkpoint=checkpoint, step=step)
  if random_init is not None:
    networks = {n: e for n, e in evaluators.items() if getattr(e, "measures_network", True)}
    for name, outcome in _outcomes(networks, random_init).items():
      pool = _pool(random_init, networks[name])
      protocol = networks[name].protocol() | pool | {"random_seed": random_seed}
      rows += _rows(name, outcome, protocol, encoder=RANDOM_INIT, checkpoint="", step=None)
  return Comparison(rows, outcomes)


def _outcomes(evaluators: Mapping[str, Evaluation], subject: Subject) -> dict[str, Outcome]:
  cache = FeatureCache(subject.encoder)
  outcomes = {}
  for name, evaluator in evaluators.items():
    if evaluator.needs_module and subject.module is None:
      raise UserError(
        f"config.evals.{name}: needs the objective's whole module, with its head, found none"
      )
    try:
      outcomes[name] = evaluator.outcome(subject.module if evaluator.needs_module else cache)
    except ValueError as error:
      raise UserError(f"config.evals.{name}: {one_line(error)}") from error
  return outcomes


def _rows(name: str, outcome: Outcome, protocol: dict, **where) -> list[Row]:
  numbers = dict(outcome.metrics)
  if outcome.confusion is not None:
    shares = per_class_accuracy(outcome.confusion)
    names = outcome.class_names or tuple(str(i) for i in range(len(shares)))
    numbers |= {f"{CLASS_PREFIX}{n}": float(s) for n, s in zip(names, shares, strict=True)}
  return [
    Row(evaluator=name, metric=metric, value=value, protocol=protocol, **where)
    for metric, value in numbers.items()
  ]


def _pool(subject: Subject, evaluator: Evaluation) -> dict[str, str]:
  """How the encoder pools, where it says so and is measured."""
  pool = getattr(subject.encoder, "pool", None)
  measured = getattr(evaluator, "measures_network", True)
  return {"pool": pool} if measured and isinstance(pool, str) else {}
