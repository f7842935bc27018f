"""A pretrained encoder from a workdir, with nothing but the path."""

import dataclasses
import logging
import re
import time
from pathlib import Path
from typing import Any, Literal

from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import FOLDER, Checkpoints
from pretrainjax.checkpoint.manifest import verify
from pretrainjax.checkpoint.named import differences, listing, refuse
from pretrainjax.config.objects import build
from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import abstract_split
from pretrainjax.objectives.teacher import trainable
from pretrainjax.types import Encoder

# How often a reader looks again, and how long it waits for a sign that a trainer is at work.
_ATTEMPTS, _SECONDS = 20, 0.5
_log = logging.getLogger(__name__)
Weights = Literal["auto", "ema", "online"]


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A run's result.

  Attributes:
    config: resolved, as saved with the checkpoint.
    objective: built from it.
    module: the objective's module with the saved arrays.
    step: of the checkpoint.
    workdir: the run's folder; None for what was not loaded from one.
  """

  config: ConfigDict
  objective: Objective
  module: nnx.Module
  step: int
  workdir: Path | None = None

  @property
  def encoder(self) -> Encoder:
    """The part that outlives pretraining; a teacher's parameters can be trained again."""
    return trainable(self.objective.encoder(self.module))

  @property
  def tokenizer_path(self) -> Path | None:
    """The tokenizer.json of a run on text; None for other runs."""
    path = None if self.workdir is None else self.workdir / "tokenizer.json"
    return path if path is not None and path.is_file() else None


def load_encoder(
  workdir: str | Path, *, step: int | None = None, weights: Weights = "auto"
) -> Encoder:
  """Loads the encoder that a run made; call it, jit it, differentiate through it.

  Args:
    workdir: of `pretrain` or `finetune`; "WORKDIR@STEP" names the step too.
    step: None takes the newest intact checkpoint.
    weights: "ema" takes the moving average of the weights, "online" the trained ones, "auto"
      the former where the run kept one.

  Returns:
    A Flax NNX module; `encoder(inputs).pooled` is "B D". `nnx.split(encoder)` gives bare
    (graphdef, state) for code that is not NNX.

  Raises:
    UserError: for a folder without checkpoints, a step that is not there, or damaged ones.
  """
  return load(workdir, step=step, weights=weights).encoder


def load(workdir: str | Path, *, step: int | None = None, weights: Weights = "auto") -> Loaded:
  """Loads all that a run's objective made: the encoder, and what was trained beside it.

  The arguments are those of `load_encoder`.
  """
  workdir, step = split_reference(workdir, step)
  if not (workdir / FOLDER).is_dir():
    folders = [p.parent.name for p in workdir.parent.glob(f"*/{FOLDER}")]
    raise UserError(
      f"{workdir}: no run's folder, {FOLDER}/ is missing{nearest(workdir.name, folders)}"
    )
  verify(workdir)
  with Checkpoints(workdir, read_only=True) as checkpoints:
    step, config, state = _newest_intact(checkpoints, workdir, step)
  objective = _built(config, workdir)
  graphdef, params, extras = _abstract(objective, workdir)
  saved = state["params"] if weights == "online" or "ema" not in state else state["ema"]
  if weights == "ema" and "ema" not in state:
    raise UserError(
      f"{workdir}: weights='ema', but the run kept no moving average (train.ema_decay)"
    )
  found = {"params": saved, "extras": state.get("extras", {})}
  rows = differences(listing(found), listing({"params": params, "extras": extras}))
  refuse(rows, f"{workdir}@{step}", hint="its config does not make these arrays: other code did")
  module = nnx.merge(graphdef, saved, state.get("extras", extras))
  return Loaded(config=config, objective=objective, module=module, step=step, workdir=workdir)


def split_reference(workdir: str | Path, step: int | None = None) -> tuple[Path, int | None]:
  """WORKDIR[@STEP] as its two parts.

  Raises:
    UserError: where STEP is no number, or two differ.
  """
  path, _, at = str(workdir).partition("@")
  if not at:
    return Path(path), step
  if not re.fullmatch("[0-9]{1,18}", at) or step not in (None, int(at)):
    raise UserError(f"'{workdir}': found step '{at}', expected WORKDIR[@STEP] with one number")
  return Path(path), int(at)


def _built(config: ConfigDict, workdir: Path) -> Objective:
  """The objective of a config that may be anyone's."""
  objective = build(config.get("objective"), path="config.objective")
  if not isinstance(objective, Objective):
    found = type(objective).__name__
    raise UserError(f"{workdir}: its config makes a {found}, expected an objective")
  return objective


def _abstract(objective: Objective, workdir: Path) -> tuple[Any, Any, Any]:
  """See `abstract_split`; recipes of models are built here, and may not go together."""
  try:
    return abstract_split(objective)
  except (ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
    raise UserError(f"{workdir}: its config makes no model: {one_line(error)[:500]}") from error


def _newest_intact(
  checkpoints: Checkpoints, workdir: Path, step: int | None
) -> tuple[int, ConfigDict, Any]:
  """A step with its config and arrays; beside a trainer, who may delete it while it is read."""
  damaged: dict[int, str] = {}
  for _ in range(_ATTEMPTS):
    steps = checkpoints.steps()
    if not steps or (step is not None and step not in steps):
      wanted = "any checkpoint" if step is None else f"checkpoint {step}"
      raise UserError(f"{workdir}: has not {wanted}; saved: {steps or 'none'}")
    tried = [s for s in (steps if step is None else [step]) if s not in damaged]
    if not tried:
      break
    try:
      return tried[0], checkpoints.config(tried[0]), checkpoints.arrays(tried[0])
    except Exception as error:  # Orbax raises many kinds for damage
      if _is_being_deleted(checkpoints, tried[0], steps):
        continue
      damaged[tried[0]] = " ".join(str(error).split())[:200]
      _log.warning("CHECKPOINT DAMAGED: %s, step %s: %s", workdir, tried[0], damaged[tried[0]])
  raise UserError(
    f"{workdir}: no intact checkpoint among {[step] if step is not None else checkpoints.steps()}"
  )


def _is_being_deleted(checkpoints: Checkpoints, step: int, before: list[int]) -> bool:
  """Whether a step is gone, or going: a trainer deletes old ones once there are newer ones."""
  end = time.monotonic() + _SECONDS
  while checkpoints.has(step) and max(checkpoints.steps(), default=0) <= max(before):
    if time.monotonic() > end:
      return False
    time.sleep(0.05)
  return True
