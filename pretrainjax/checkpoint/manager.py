"""Saves the checkpoints of a run with Orbax, and restores the newest one that is intact."""

import contextlib
import dataclasses
import json
import logging
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from pretrainjax.checkpoint import meta as metas
from pretrainjax.checkpoint import note, quarantine, sealed, verified
from pretrainjax.checkpoint.array_names import nested_by_name
from pretrainjax.checkpoint.free_space import full_disk_reason, lack_of_space, remove_leftovers
from pretrainjax.checkpoint.policy import NewestAndBest
from pretrainjax.checkpoint.sealed import FOLDER
from pretrainjax.checkpoint.step_names import StepNames
from pretrainjax.config.text import read_json, to_json
from pretrainjax.errors import UserError
from pretrainjax.process.distributed import agree, barrier, is_main
from pretrainjax.ranges import PositiveInt, check_ranges
from pretrainjax.untrusted import try_to_write

# Seconds: Orbax's own time limit goes by the time of day, and a clock that is set forward would end
# a run in the middle of a save. The watchdog has one that does not.
_TIMEOUT = 10**9
# Seconds that a save of several processes is given after a failure of one of them.
_OTHERS = 2.0
# Times that a reader lists the steps anew because one was deleted meanwhile.
_TRIES = 20
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Keep:
  """Which checkpoints are kept; the others are deleted.

  Attributes:
    last: the number of newest checkpoints that are kept, at least 1.
    best: the number of checkpoints with the best `metric` that are kept, at least 1.
    metric: the name of an evaluator's number, such as "knn/top1_k20_t0.07"; None keeps none by it.
    mode: whether the highest or the lowest number is best.
  """

  last: PositiveInt = 2
  best: PositiveInt = 1
  metric: str | None = None
  mode: Literal["max", "min"] = "max"

  def __post_init__(self):
    check_ranges(self)


class Checkpoints:
  """The checkpoints of one workdir, to be saved and restored; unless closed, the last save is lost.

  Where there are several processes, all save and restore together, in a folder that they share;
  readers (`read_only`) are on their own.
  """

  def __init__(
    self,
    workdir: str | Path,
    *,
    keep: Keep = Keep(),
    read_only: bool = False,
    made_with: dict[str, Any] | None = None,
  ):
    """Opens WORKDIR/checkpoints.

    Args:
      workdir: the folder of the run.
      keep: which checkpoints are kept.
      read_only: whether to only read, beside a running trainer: nothing is made, moved or deleted.
      made_with: what the run is made with, see `workdir.provenance`, for what is saved.

    Raises:
      UserError: where a writer cannot write.
    """
    self._folder = Path(workdir).absolute() / FOLDER
    self._quarantine = self._folder.with_name(quarantine.FOLDER)
    self._keep = keep
    self._read_only = read_only
    self._made_with = made_with
    # Why the newest save was not made, "" where it was.
    self._unsaved = ""
    self._saving: int | None = None
    if not read_only:
      _check_writable(self._folder)
    options = ocp.CheckpointManagerOptions(
      preservation_policy=None if read_only else self._policy(),
      step_name_format=StepNames(),
      create=not read_only,
      read_only=read_only,
      cleanup_tmp_directories=not read_only,
      enable_async_checkpointing=not read_only,
      lightweight_initialize=True,  # or it would read, and believe, a file of each step
      async_options=ocp.AsyncOptions(timeout_secs=_TIMEOUT),
      multiprocessing_options=_processes(alone=read_only),
    )
    handlers = {
      "state": ocp.StandardCheckpointHandler(),
      "config": ocp.JsonCheckpointHandler(filename=sealed.FILE),
      "meta": ocp.JsonCheckpointHandler(filename=sealed.FILE),
    }
    self._manager = _opened(self._folder, options=options, item_handlers=handlers)

  # --- saving ---------------------------------------------------------------------------------

  def save(
    self, step: int, state: Any, *, config: ConfigDict, interval: Mapping[str, Any] | None = None
  ) -> bool:
    """Starts an asynchronous save; the arrays may be donated as soon as it returns.

    A save that does not fit on the disk is left out, with a warning: the next one tries again, and
    `wait` raises where there is none.

    Args:
      step: the number of the step, which names the checkpoint.
      state: a pytree of whole arrays (see `Parallel.whole`).
      config: the resolved config, which is kept beside the arrays under the same commit.
      interval: the metrics of steps that no row has yet, as plain values; see `interval`.

    Returns:
      Whether a save was started; False on a full disk, and for a step that is there already.

    Raises:
      Exception: whatever else than a full disk made the save before this one fail.
    """
    self.wait_until_idle()
    state, written = nested_by_name(state), json.loads(to_json(config))
    lack = agree(f"room for step {step}", lack_of_space(self._folder, state) if is_main() else "")
    if lack:
      self._note_unsaved(step, lack)
      return False
    self._saving, self._unsaved = step, ""
    with self._tolerating_a_full_disk():
      started = self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          config=ocp.args.JsonSave(written),
          meta=ocp.args.JsonSave(
            metas.describe(step, state, written, interval=interval, made_with=self._made_with)
          ),
        ),
      )
      if not started:
        _log.warning("step %d is not saved: %s has it, or a later one", step, self._folder)
      return started
    return False

  def note(self, step: int, *, evaluators: Collection[str], numbers: Mapping[str, float]) -> None:
    """Notes what was measured of a saved step beside it; all processes call it alike.

    Steps that need not stay any longer, now that its number is known, are deleted. Nothing is noted
    where the step is not there, for want of disk space.

    Args:
      step: the number of the step.
      evaluators: the names of the evaluators that ran.
      numbers: their numbers by "evaluator/number", which may lack `Keep.metric`.
    """
    self.wait_until_idle()
    if is_main() and self.has(step):
      try:
        note.write(self._folder / str(step), evaluators=evaluators, numbers=numbers)
      except OSError as error:  # it costs an evaluation after a restart
        _log.warning("step %d: its numbers are not noted (%s)", step, error.strerror)
    steps = self.steps()
    go = sorted(set(steps) - self._policy().should_stay(steps[::-1]))
    # One process may not see yet what another one did: the first decides.
    for one in json.loads(agree("which checkpoints go", json.dumps(go))):
      self._manager.delete(one)

  def wait_until_idle(self) -> None:
    """Blocks until no save is under way; raises what made one fail, except for a full disk."""
    with self._tolerating_a_full_disk():
      self._manager.wait_until_finished()

  def wait(self) -> None:
    """Blocks until the newest save is durable.

    Raises:
      UserError: where the disk had no room for it.
      Exception: whatever else made it fail.
    """
    self.wait_until_idle()
    if self._unsaved:
      unsaved, self._unsaved = self._unsaved, ""
      raise self._refusal(unsaved)

  def close(self) -> None:
    """Finishes the save under way as `wait` does, and frees threads."""
    try:
      self.wait()
    finally:
      self._manager.close()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind: type | None, *_: Any) -> None:
    if kind is None:
      self.close()
    # After a failure the other processes may never come to where closing waits for them.
    elif jax.process_count() == 1:
      with contextlib.suppress(UserError):  # it is in the log, and not what ended the run
        self.close()
    else:
      waiting = threading.Thread(target=self._wait_quietly, daemon=True, name="last save")
      waiting.start()
      waiting.join(_OTHERS)

  def _wait_quietly(self) -> None:
    """Lets the save under way become durable, as far as the other processes still take part."""
    with contextlib.suppress(Exception):
      self._manager.wait_until_finished()

  @contextlib.contextmanager
  def _tolerating_a_full_disk(self) -> Iterator[None]:
    """Turns a failure for want of disk space into a warning, where there is one process only."""
    try:
      yield
    except Exception as error:
      reason = full_disk_reason(error)
      if not reason or self._saving is None:
        raise
      if jax.process_count() > 1:
        raise self._refusal(f"step {self._saving}: {reason}") from error
      self._note_unsaved(self._saving, reason)

  def _refusal(self, unsaved: str) -> UserError:
    return UserError(
      f"{self._folder}: cannot save {unsaved}; what was saved before is intact; make room and "
      "start the same command again to go on"
    )

  def _note_unsaved(self, step: int, reason: str) -> None:
    self._unsaved = f"step {step}: {reason}"
    _log.warning(
      "CHECKPOINT NOT SAVED: %s; training goes on and tries again at the next save; there are %s",
      self._unsaved,
      self.steps() or "none",
    )
    if is_main():
      remove_leftovers(self._folder, step)

  # --- what there is --------------------------------------------------------------------------

  def steps(self) -> list[int]:
    """The saved steps, newest first; empty and partial folders do not count."""
    # Not as Orbax does it: what a trainer deletes meanwhile must not be an error.
    return sealed.steps(self._folder.parent)

  def has(self, step: int) -> bool:
    """Whether all parts of a step are there."""
    return sealed.is_whole(self._folder / str(step))

  def config(self, step: int) -> ConfigDict:
    """The resolved config saved with `step`, verified; nothing that it names is looked for."""
    return read_json(json.dumps(sealed.read(self._folder / str(step))[1]))

  def interval(self, step: int) -> dict[str, Any]:
    """The metrics of steps up to `step` that no row had yet when it was saved; {} without any."""
    return sealed.read(self._folder / str(step))[0].get("interval") or {}

  def not_yet_run(self, step: int, evaluators: Collection[str]) -> list[str]:
    """Which of these evaluators did not run on a saved step, as process 0 sees it."""
    missing = note.not_yet_run(self._folder / str(step), evaluators) if is_main() else []
    return json.loads(agree(f"evaluators that did not run on {step}", json.dumps(missing)))

  def number(self, step: int, name: str) -> float:
    """A number that was measured of a saved step; NaN where it is not known."""
    return note.number(self._folder / str(step), name)

  def _policy(self) -> NewestAndBest:
    value = None if self._keep.metric is None else self._value
    return NewestAndBest(last=self._keep.last, best=self._keep.best, value=value)

  def _value(self, step: int) -> float:
    """The number that a step is kept by, more is better; NaN where it is not known."""
    value = self.number(step, self._keep.metric or "")
    return value if self._keep.mode == "max" else -value

  # --- restoring ------------------------------------------------------------------------------

  def restore(self, target: Any, *, step: int | None = None) -> Any | None:
    """Restores the newest intact state, or that of `step`.

    Newer ones that are damaged are moved to WORKDIR/quarantine, once there is an intact one.

    Args:
      target: a pytree like the one saved, of arrays or ShapeDtypeStructs with shardings.
      step: the step to restore; None takes the newest, or an older one where that is damaged.

    Returns:
      The state, or None where nothing was ever saved.

    Raises:
      UserError: where `step` does not exist, or everything saved is damaged: a run never starts
        silently from nothing.
    """
    # One process may not see yet what another one does: the first decides.
    there = json.loads(agree("which checkpoints there are", json.dumps(self._inventory())))
    steps, partial, contents = there
    if step is not None and step not in steps:
      raise UserError(f"{self._folder}: no checkpoint of step {step}; there are {steps or 'none'}")
    bad = {} if step is not None else dict.fromkeys(partial, "parts of it are missing")
    for candidate in steps if step is None else [step]:
      restored, reason = verified.restore(self._manager, self._folder / str(candidate), target)
      if not reason:
        # Partial ones before it are what a killed process had begun to delete; Orbax ends that.
        for name, why in ((name, why) for name, why in bad.items() if name > candidate):
          moved = self.set_aside(name, reason=why)
          _log.warning("CHECKPOINT DAMAGED: step %d (%s); it is in %s now", name, why, moved)
        return restored
      bad[candidate] = reason
    if bad or contents:
      listed = "; ".join(f"step {name}: {why}" for name, why in bad.items())
      raise UserError(
        f"{self._folder}: no checkpoint is intact ({listed or 'none is left'}), and a run does not "
        f"start anew by itself; {self._quarantine} holds {', '.join(contents) or 'none'}; move "
        "both folders away to start anew"
      )
    return None

  def set_aside(self, step: int, *, reason: str) -> Path:
    """Moves a step to WORKDIR/quarantine, so that it is no checkpoint and can be made anew.

    Args:
      step: the number of a saved step.
      reason: the reason, in one line, which is kept beside it.

    Returns:
      The path of its new folder, which is right on process 0 only.
    """
    self.wait_until_idle()
    moved = self._quarantine
    if is_main():
      moved = quarantine.move(self._folder / str(step), self._quarantine, reason=reason)
    barrier(f"setting step {step} aside")
    self._manager.reload()
    return moved

  def arrays(self, step: int) -> Any:
    """All arrays of `step` on the host's first device, as nested dicts, verified."""
    return verified.arrays(self._manager, self._folder / str(step))

  def trees(self, step: int) -> set[str]:
    """The names of the trees in a saved state: "params", "extras", "ema" ..."""
    arrays = sealed.read(self._folder / str(step))[0]["arrays"]
    return {path.partition(".")[0] for path in arrays}

  def some_arrays(self, step: int, target: Any) -> Any:
    """Some arrays of `step`, verified, each where `target` says; see `verified.some_arrays`."""
    return verified.some_arrays(self._folder / str(step), target)

  def _inventory(self) -> tuple[list[int], list[int], list[str]]:
    """The whole steps, the partial ones, and the names in quarantine."""
    steps = self.steps()
    partial = [step for step in sealed.numbered(self._folder.parent) if step not in steps]
    return steps, sorted(partial), quarantine.contents(self._quarantine)


def _opened(folder: Path, *, options: Any, item_handlers: Any) -> ocp.CheckpointManager:
  """Opens Orbax's manager, again where a trainer deleted a step while its steps were listed."""
  for _ in range(_TRIES - 1):
    with contextlib.suppress(FileNotFoundError):
      return ocp.CheckpointManager(folder, options=options, item_handlers=item_handlers)
  return ocp.CheckpointManager(folder, options=options, item_handlers=item_handlers)


def _check_writable(folder: Path) -> None:
  """Refuses a folder that this process cannot write to, before anything is compiled."""
  try:
    try_to_write(folder)
  except OSError as error:
    raise UserError(
      f"--workdir: {socket.gethostname()} cannot write to '{folder}' ({error.strerror})"
    ) from error


def _processes(*, alone: bool) -> ocp.options.MultiprocessingOptions:
  """The processes that Orbax waits for: none for a reader, which reads everything by itself."""
  if not alone or jax.process_count() == 1:
    return ocp.options.MultiprocessingOptions()
  index = jax.process_index()
  return ocp.options.MultiprocessingOptions(
    primary_host=index, active_processes={index}, barrier_sync_key_prefix=f"reader_{index}"
  )
