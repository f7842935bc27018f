"""The evaluators of a run: which can run on its data, which are due, and their numbers."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax import nnx

from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.process.distributed import gather
from pretrainjax.process.interruptible import Interrupted, run_unless
from pretrainjax.types import Evaluator

# The longest time in seconds that processes wait for each other's evaluation.
_LONGEST = 3600.0


class Opened(NamedTuple):
  """The evaluators of a config, with their data opened.

  Attributes:
    evaluators: those that can run, by name.
    left_out: why the others cannot, by name.
  """

  evaluators: dict[str, Evaluator]
  left_out: dict[str, str]


def switched_on(evaluators: Mapping[str, Evaluator | None] | None) -> dict[str, Evaluator]:
  """The evaluators of a config without those that are None, as the whole may be.

  Args:
    evaluators: the evaluators by name.
  """
  return {name: one for name, one in (evaluators or {}).items() if one is not None}


def open_evaluators(
  evaluators: Mapping[str, Evaluator], *, encoder: Any, module: nnx.Module
) -> Opened:
  """Opens what evaluators read, before anything is trained or compiled.

  Args:
    evaluators: the evaluators by name.
    encoder: what most of them measure; its arrays may be abstract.
    module: the objective's, for those that need its head.

  Raises:
    UserError: for data that is not there, and for a network that one of them cannot measure.
  """
  opened = Opened({}, {})
  for name, evaluator in evaluators.items():
    key = f"config.evals.{name}"
    # Evaluators of other packages need neither.
    find_reason = getattr(evaluator, "reason_to_leave_out", lambda *, key: None)
    check = getattr(evaluator, "check", lambda subject: None)
    if (reason := find_reason(key=key)) is not None:
      opened.left_out[name] = reason
      continue
    _refused(key, functools.partial(check, _subject(evaluator, encoder, module)))
    opened.evaluators[name] = evaluator
  return opened


def check_metric(metric: str | None, opened: Opened) -> None:
  """Refuses a number to keep checkpoints by that no evaluator of the run gives.

  Args:
    metric: "evaluator/number", or None.
    opened: the evaluators of the run.

  Raises:
    UserError: naming the evaluators that there are.
  """
  name = (metric or "").partition("/")[0]
  known = {*opened.evaluators, *opened.left_out}
  if metric is not None and name not in known:
    raise UserError(
      f"--config.train.keep.metric: found '{metric}', expected EVALUATOR/NUMBER"
      f"{nearest(name, known) or '; the run has no evaluator'}"
    )


def due_evaluators(
  evaluators: Mapping[str, Evaluator], *, step: int, last_step: int
) -> dict[str, Evaluator]:
  """The evaluators that run after a step: all after the last one, none before the first."""
  return {
    name: evaluator
    for name, evaluator in evaluators.items()
    if step == last_step or (step and evaluator.every and step % evaluator.every == 0)
  }


def evaluate(
  evaluators: Mapping[str, Evaluator],
  *,
  encoder: Any,
  module: nnx.Module,
  step: int,
  stop: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
  """Runs evaluators on every process, which end alike: with numbers, by a stop, or by a failure.

  Args:
    evaluators: those that run, by name.
    encoder: what most of them measure.
    module: the objective's, for those that need its head.
    step: the step that the network comes from.
    stop: whether to give up, see `run_unless`.

  Returns:
    The numbers of process 0 by "evaluator/number": they choose the checkpoints that stay, which all
    processes must do alike.

  Raises:
    Interrupted: where a process was asked to stop.
    UserError: for data or features that an evaluator refuses.
    Exception: whatever else an evaluator raises, on this process or another one.
  """
  numbers, failure, said = {}, None, {"stopped": False, "failed": "", "numbers": {}}
  try:
    numbers = run_unless(stop, lambda: _measured(evaluators, encoder, module))
    said["numbers"] = numbers
  except Interrupted:
    said["stopped"] = True
  except Exception as error:
    failure, said["failed"] = error, one_line(error)
  # In a thread as well: a process that waits for the others must hear a signal, too.
  exchange = functools.partial(gather, f"the evaluation of step {step}", seconds=_LONGEST)
  texts = run_unless(lambda: False, lambda: exchange(json.dumps(said)))
  all_said = [json.loads(text) for text in texts]
  if failure is not None:
    raise failure
  for index, other in enumerate(all_said):
    if other["failed"]:
      raise RuntimeError(f"the evaluation failed on process {index}: {other['failed']}")
  if any(one["stopped"] for one in all_said):
    raise Interrupted
  return all_said[0]["numbers"]


def _measured(
  evaluators: Mapping[str, Evaluator], encoder: Any, module: nnx.Module
) -> dict[str, float]:
  """The numbers of all evaluators, one after the other."""
  results = {}
  for name, evaluator in evaluators.items():
    measure = functools.partial(evaluator.run, _subject(evaluator, encoder, module))
    for key, value in _refused(f"config.evals.{name}", measure).items():
      results[f"{name}/{key}"] = float(value)
  return results


def _subject(evaluator: Evaluator, encoder: Any, module: nnx.Module) -> Any:
  return module if getattr(evaluator, "needs_module", False) else encoder


def _refused(key: str, call: Callable[[], Any]) -> Any:
  """Calls; what is refused is the user's mistake, at a key of the config."""
  try:
    return call()
  except ValueError as error:
    raise UserError(f"{key}: {one_line(error)}") from error
