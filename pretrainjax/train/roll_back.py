"""Rolls back to a checkpoint from before a spike of the loss, and passes over the batches up to it.

Each roll-back is a row of WORKDIR/roll_backs.jsonl, written before training goes on. A run that is
killed and restores the same checkpoint later finds there which batches are to be passed over.
"""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.errors import UserError
from pretrainjax.process.distributed import agree, barrier, is_main
from pretrainjax.train.assemble import Run
from pretrainjax.train.bad_steps import SKIPPED, saved_steps
from pretrainjax.train.parallel import scalar
from pretrainjax.train.resume_notes import other_batch, rate_jump
from pretrainjax.train.state import TrainState
from pretrainjax.train.tracking import Tracker
from pretrainjax.workdir.json_lines import append, put_away, rows

ROLL_BACKS = "roll_backs.jsonl"
_log = logging.getLogger(__name__)


class Spike(NamedTuple):
  """A spike of the loss.

  Attributes:
    step: the step at which it was noticed.
    batch: the position in the data of that step's batch, from 0.
    loss: the loss of that step.
    usual: the running mean of the loss.
    deviation: the running standard deviation.
  """

  step: int
  batch: int
  loss: float
  usual: float
  deviation: float

  def __str__(self) -> str:
    return (
      f"loss {self.loss:.4g} at step {self.step}, where {self.usual:.4g} +- {self.deviation:.2g} "
      "had been usual"
    )


def should_roll_back(run: Run, spike: Spike, checkpoints: Checkpoints) -> bool:
  """Warns of a spike; returns whether to roll back, the same on all processes.

  Args:
    run: the run, built from its config.
    spike: the spike that was found.
    checkpoints: the checkpoints to go back to.
  """
  spikes = run.train.spikes
  if spikes.action == "warn":
    _log.warning("LOSS SPIKE: %s", spike)
    return False
  if _target_step(run, spike, checkpoints) is None:
    _log.warning("LOSS SPIKE: %s; there is no checkpoint before it to go back to", spike)
    return False
  return True


def roll_back(
  run: Run,
  spike: Spike,
  *,
  roll_backs: int,
  workdir: Path,
  checkpoints: Checkpoints,
  tracker: Tracker,
) -> TrainState:
  """Rolls back; returns the state to go on from, with the batches up to the spike passed over.

  Checkpoints after it are set aside, and so are their rows of metrics.

  Args:
    run: the run, built from its config.
    spike: the spike for which `should_roll_back` is true.
    roll_backs: the number of roll-backs before this one.
    workdir: the folder of the run.
    checkpoints: the checkpoints of the run.
    tracker: the writers whose later metrics are taken back.

  Raises:
    UserError: where the run has rolled back `max_roll_backs` times already.
  """
  most = run.train.spikes.max_roll_backs
  if roll_backs >= most:
    raise UserError(
      f"--config.train.spikes.max_roll_backs: {spike}, and the run has gone back {roll_backs} "
      "times already; the checkpoints before are intact; lower --config.optimizer.learning_rate or "
      "set --config.optimizer.clip_norm"
    )
  target = _target_step(run, spike, checkpoints)
  # Newest first: a kill in between must not leave one of the spike as the newest.
  for step in [step for step in saved_steps(checkpoints) if step > target]:
    checkpoints.set_aside(step, reason=f"the run went back to step {target}: {spike}")
  state = _restored(run, checkpoints)
  number, step = roll_backs + 1, int(scalar(state.step))
  position = spike.batch + 1 + run.train.spikes.skip
  row = {"number": number, "back_to": step, "position": position, **spike._asdict()}
  if is_main():
    append(workdir / ROLL_BACKS, row | {"passed_over": [int(scalar(state.position)), position]})
  barrier("the note of a roll-back")
  tracker.roll_back(step)
  _log.warning(
    "LOSS SPIKE: %s; going back to step %d, and on with batch %d, so that batches %d to %d are "
    "passed over (roll-back %d of at most %d)",
    spike,
    step,
    position,
    int(scalar(state.position)),
    position - 1,
    number,
    most,
  )
  return _place(run, _with_counts(state, position=position, roll_backs=number))


def resume(run: Run, checkpoints: Checkpoints, workdir: Path) -> TrainState | None:
  """Restores the newest intact state, with its position in the data, onto the devices.

  Args:
    run: the run, built from its config.
    checkpoints: the checkpoints of the run.
    workdir: the folder of the run.

  Returns:
    The state, or None where nothing was saved yet.

  Raises:
    UserError: where another batch size cannot go on at the same example.
  """
  state = _restored(run, checkpoints)
  if state is None:
    if is_main():
      for name in (ROLL_BACKS, SKIPPED):
        put_away(workdir / name)
    return None
  step, number = int(scalar(state.step)), int(scalar(state.roll_backs))
  found = json.loads(agree("the roll-backs", json.dumps(rows(workdir / ROLL_BACKS))))
  since = [row for row in found if row["back_to"] == step and row["number"] > number]
  if since:
    position = since[-1]["position"]
    _log.warning("step %d is a roll-back's: going on with batch %d of the data", step, position)
    state = _with_counts(state, position=position, roll_backs=since[-1]["number"])
  saved_config, taken = checkpoints.config(step), step - int(scalar(state.bad_steps))
  if jump := rate_jump(run, saved_config, params=state.params, step=taken):
    _log.warning(jump)
  return _place(run, _at_same_example(run, state, saved_config))


def _target_step(run: Run, spike: Spike, checkpoints: Checkpoints) -> int | None:
  """The step to roll back to; the oldest before the spike where none lies far enough back."""
  spikes = run.train.spikes
  first = spike.step - spikes.patience + 1
  before = [step for step in saved_steps(checkpoints) if step < first]
  return max(
    (step for step in before if step <= first - spikes.back), default=min(before, default=None)
  )


def _restored(run: Run, checkpoints: Checkpoints) -> TrainState | None:
  return checkpoints.restore(run.parallel.abstract(run.abstract_state))


def _place(run: Run, state: TrainState) -> TrainState:
  return run.parallel.place(state) if run.parallel.mode == "pmap" else state


def _at_same_example(run: Run, state: TrainState, saved_config: Any) -> TrainState:
  """The state at the same example of the order, should the batch have another size now."""
  before, now = saved_config.data.batch_size, run.data.batch_size
  if before == now:
    return state
  example = int(scalar(state.position)) * before
  if example % now:
    raise UserError(
      f"--config.data.batch_size: found {now}, expected a divisor of the {example} examples that "
      f"the run has seen in batches of {before}, so that it goes on with the next one"
    )
  _log.warning(other_batch(run, before=before, step=int(scalar(state.step)), example=example))
  return _with_counts(state, position=example // now)


def _with_counts(state: TrainState, **counts: int) -> TrainState:
  """The state with other counts, on the devices where the old ones were."""

  def like(old: jax.Array, value: int) -> jax.Array:
    return jax.make_array_from_callback(
      old.shape, old.sharding, lambda _: np.asarray(value, old.dtype)
    )

  return state.replace(**{name: like(getattr(state, name), n) for name, n in counts.items()})
