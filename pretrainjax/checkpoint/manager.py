"""A run's checkpoints: Orbax underneath, with integrity, fall-back and the config beside."""

import contextlib
import dataclasses
import errno
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from pretrainjax.checkpoint.fingerprint import fingerprint
from pretrainjax.config_text import from_json, to_json
from pretrainjax.distributed import agree, gather
from pretrainjax.errors import UserError

FOLDER = "checkpoints"
# What the system calls a disk that takes no more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Keep:
  """Which checkpoints stay.

  Attributes:
    last: how many of the newest.
    best: how many of the best by `metric`.
    metric: name of an evaluator's number, such as "knn/top1_k20_t0.07"; None keeps none by quality.
    mode: whether more or less of it is better.
  """

  last: int = 2
  best: int = 1
  metric: str | None = None
  mode: Literal["max", "min"] = "max"

  def __post_init__(self):
    if self.last < 1 or self.best < 1:
      raise ValueError(f"last={self.last}, best={self.best}: both are at least 1")

  def policy(self):
    """The same in Orbax's words."""
    policies = [ocp.checkpoint_managers.LatestN(self.last)]
    if self.metric:
      best = ocp.checkpoint_managers.BestN(
        n=self.best,
        get_metric_fn=lambda metrics: metrics[self.metric],
        reverse=self.mode == "min",
        keep_checkpoints_without_metrics=False,
      )
      policies.append(best)
    return ocp.checkpoint_managers.AnyPreservationPolicy(policies)


class Checkpoints:
  """Saves and restores one workdir's states; to be closed, or the last save is lost.

  Where there are several processes, all save and restore together, in a folder that they share;
  readers (`read_only`) are on their own.
  """

  def __init__(self, workdir: str | Path, *, keep: Keep = Keep(), read_only: bool = False):
    """Opens WORKDIR/checkpoints.

    Args:
      workdir: the run's folder.
      keep: which checkpoints stay.
      read_only: for readers beside a running trainer: nothing is made, cleaned or deleted.
    """
    self._folder = Path(workdir).absolute() / FOLDER
    self._keep = keep
    self._read_only = read_only
    options = ocp.CheckpointManagerOptions(
      preservation_policy=None if read_only else keep.policy(),
      create=not read_only,
      read_only=read_only,
      cleanup_tmp_directories=not read_only,
      enable_async_checkpointing=not read_only,
      multiprocessing_options=_processes(alone=read_only),
    )
    handlers = {
      "state": ocp.StandardCheckpointHandler(),
      "config": ocp.JsonCheckpointHandler(),
      "meta": ocp.JsonCheckpointHandler(),
    }
    self._manager = ocp.CheckpointManager(self._folder, options=options, item_handlers=handlers)

  def steps(self) -> list[int]:
    """Saved steps, newest first. An empty or partial folder is none, whatever Orbax says."""
    self._manager.reload()
    found = self._manager.all_steps()
    return sorted((s for s in found if self._is_whole(s)), reverse=True)

  def save(
    self, step: int, state: Any, *, config: ConfigDict, metrics: dict[str, float] | None = None
  ) -> bool:
    """Starts an asynchronous save; the arrays may be donated as soon as it returns.

    Args:
      step: its name.
      state: pytree of arrays, whole (see `Parallel.whole`).
      config: resolved; it is kept beside the arrays, under the same commit.
      metrics: what `Keep.metric` chooses by; may lack it.

    Returns:
      Whether a save was started; False for a step that is there already.

    Raises:
      UserError: where the disk is full, for this save or the one before.
      Exception: whatever else made the save before this one fail.
    """
    state = _named(state)
    meta = {"step": step, "fingerprint": fingerprint(state)}
    meta |= {"jax": jax.__version__, "layout": _layout()}
    has_metric = self._keep.metric is not None and self._keep.metric in (metrics or {})
    with _saying_that_the_disk_is_full(self._folder):
      return self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          config=ocp.args.JsonSave(json.loads(to_json(config))),
          meta=ocp.args.JsonSave(meta),
        ),
        metrics=metrics if has_metric else None,
      )

  def restore(self, target: Any, *, step: int | None = None) -> Any | None:
    """Restores the newest intact state, or that of `step`.

    Args:
      target: a pytree like the one saved, of arrays or ShapeDtypeStructs with shardings.
      step: None takes the newest, and older ones where that is damaged, with a warning.

    Returns:
      The state, or None where nothing was ever saved.

    Raises:
      UserError: where `step` does not exist, or everything saved is damaged: a run never starts
        silently from nothing.
    """
    # One process may not see yet what another one does: the first decides.
    steps = json.loads(agree("which checkpoints there are", json.dumps(self.steps())))
    if step is not None and step not in steps:
      raise UserError(f"{self._folder}: no checkpoint of step {step}; there are {steps or 'none'}")
    reasons = []
    for candidate in steps if step is None else [step]:
      restored, reason = self._try_restore(candidate, target)
      found = [r for r in gather(f"the restore of step {candidate}", reason) if r]
      if not found:
        return restored
      reasons.append(f"step {candidate}: {found[0]}")
      _log.warning("CHECKPOINT DAMAGED, trying an older one: %s", reasons[-1])
    leftovers = self._manager.all_steps()
    if reasons or (leftovers and step is None):
      raise UserError(
        f"{self._folder}: none of the checkpoints {sorted(leftovers)} is intact"
        f" ({'; '.join(reasons) or 'all are incomplete'}); move the folder away to start anew"
      )
    return None

  def _try_restore(self, step: int, target: Any) -> tuple[Any, str]:
    """The state of a step, and what is wrong with it, "" if nothing is."""
    try:
      return self._restore(step, target), ""
    except UserError:
      raise
    except Exception as error:  # Orbax raises many kinds for damage
      reason = " ".join(str(error).split())[:300]
      return None, f"{type(error).__name__}: {reason}"

  def config(self, step: int) -> ConfigDict:
    """The resolved config saved with `step`."""
    restored = self._manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore()))
    return from_json(json.dumps(restored["config"]))

  def arrays(self, step: int) -> Any:
    """All arrays of `step` on the host's first device, as nested dicts, verified."""
    metadata = self._manager.item_metadata(step)["state"]
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(
      lambda m: jax.ShapeDtypeStruct(m.shape, m.dtype, sharding=device), metadata.tree
    )
    return self._restore_named(step, target)

  def wait(self) -> None:
    """Blocks until the save under way is durable; raises what made it fail."""
    with _saying_that_the_disk_is_full(self._folder):
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Finishes the save under way and frees threads."""
    with _saying_that_the_disk_is_full(self._folder):
      self._manager.close()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind: type | None, *_: Any) -> None:
    # After a failure the other processes may never come to where closing waits for them.
    if kind is None or jax.process_count() == 1:
      self.close()

  def _is_whole(self, step: int) -> bool:
    folder = self._folder / str(step)
    return all((folder / item).is_dir() for item in ("state", "config", "meta"))

  def _restore(self, step: int, target: Any) -> Any:
    named = _named(target)
    _compare(self._manager.item_metadata(step)["state"].tree, named, f"{self._folder}/{step}")
    restored = self._restore_named(step, named)
    return jax.tree_util.tree_map_with_path(lambda path, _: _at(restored, path), target)

  def _restore_named(self, step: int, target: Any) -> Any:
    args = ocp.args.Composite(state=ocp.args.StandardRestore(target), meta=ocp.args.JsonRestore())
    restored = self._manager.restore(step, args=args)
    saved, found = restored["meta"]["fingerprint"], fingerprint(restored["state"])
    wrong = [path for path in saved if saved[path] != found.get(path)]
    if wrong:
      raise ValueError(f"checksum differs in {len(wrong)} arrays, first {wrong[0]}")
    layout = restored["meta"].get("layout", _layout())
    if layout != _layout() and not self._read_only:
      _log.warning(
        "step %d was saved by %s and goes on with %s: the same examples in the same order, numbers "
        "equal to float tolerance",
        *(step, layout, _layout()),
      )
    return restored["state"]


def _processes(*, alone: bool) -> ocp.options.MultiprocessingOptions:
  """Whom Orbax waits for: a reader waits for no other process, and reads all by itself."""
  if not alone or jax.process_count() == 1:
    return ocp.options.MultiprocessingOptions()
  index = jax.process_index()
  return ocp.options.MultiprocessingOptions(
    primary_host=index, active_processes={index}, barrier_sync_key_prefix=f"reader_{index}"
  )


def _layout() -> str:
  """What divides the work, as far as it moves the last digits of numbers."""
  devices, processes = jax.device_count(), jax.process_count()
  plural = "s" if devices > 1 else "", "es" if processes > 1 else ""
  return f"{devices} device{plural[0]} of {processes} process{plural[1]}"


@contextlib.contextmanager
def _saying_that_the_disk_is_full(folder: Path) -> Iterator[None]:
  """Orbax and TensorStore say it in many lines, and in the words of the system."""
  try:
    yield
  except Exception as error:
    text = str(error)
    reason = next((os.strerror(n) for n in _FULL if os.strerror(n) in text), None)
    if reason is None:
      raise
    raise UserError(
      f"{folder}: cannot save, {reason.lower()}; what was saved before is intact; make room and "
      "start the same command again to go on"
    ) from error


def _named(state: Any) -> Any:
  """The state as nested dicts with string keys, so that names on disk say what they hold."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(state)
  named: dict[str, Any] = {}
  for path, leaf in leaves:
    *parents, last = [_name(key) for key in path]
    node = named
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = leaf
  return named


def _at(named: Any, path: tuple) -> Any:
  for key in path:
    named = named[_name(key)]
  return named


def _name(key: Any) -> str:
  return jax.tree_util.keystr((key,), simple=True)


def _compare(saved: Any, wanted: Any, where: str) -> None:
  """Raises UserError with a table of path, saved, wanted, unless both agree; Orbax would cast."""

  def flat(tree: Any) -> dict[str, str]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
      ".".join(_name(k) for k in path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves
    }

  a, b = flat(saved), flat(wanted)
  rows = [
    f"{path} {a.get(path, 'absent')} {b.get(path, 'absent')}"
    for path in sorted({*a, *b})
    if a.get(path) != b.get(path)
  ]
  if rows:
    more = f"; and {len(rows) - 8} more" if len(rows) > 8 else ""
    raise UserError(f"{where}: path, saved, wanted differ: {'; '.join(rows[:8])}{more}")
