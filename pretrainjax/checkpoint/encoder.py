"""A pretrained encoder from a workdir, with nothing but the path."""

import dataclasses
import logging
from pathlib import Path
from typing import Any, Literal

import jax
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import FOLDER, Checkpoints
from pretrainjax.config import build
from pretrainjax.errors import UserError, nearest
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import abstract_split
from pretrainjax.types import Encoder

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
    """The part that outlives pretraining."""
    return self.objective.encoder(self.module)

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
  with Checkpoints(workdir, read_only=True) as checkpoints:
    step, state = _arrays(checkpoints, workdir, step)
    config = checkpoints.config(step)
  objective = build(config.objective, path="config.objective")
  graphdef, params, extras = abstract_split(objective)
  saved = state["params"] if weights == "online" or "ema" not in state else state["ema"]
  if weights == "ema" and "ema" not in state:
    raise UserError(
      f"{workdir}: weights='ema', but the run kept no moving average (train.ema_decay)"
    )
  _check_same(saved, params, workdir)
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
  if not at.isdigit() or step not in (None, int(at)):
    raise UserError(f"'{workdir}': found step '{at}', expected WORKDIR[@STEP] with one number")
  return Path(path), int(at)


def _arrays(checkpoints: Checkpoints, workdir: Path, step: int | None) -> tuple[int, Any]:
  steps = checkpoints.steps()
  if not steps or (step is not None and step not in steps):
    wanted = "any checkpoint" if step is None else f"checkpoint {step}"
    raise UserError(f"{workdir}: has not {wanted}; saved: {steps or 'none'}")
  for candidate in steps if step is None else [step]:
    try:
      return candidate, checkpoints.arrays(candidate)
    except Exception as error:  # Orbax raises many kinds for damage
      reason = " ".join(str(error).split())[:300]
      _log.warning("CHECKPOINT DAMAGED: %s, step %s: %s", workdir, candidate, reason)
  raise UserError(f"{workdir}: no intact checkpoint among {steps if step is None else [step]}")


def _check_same(saved: Any, wanted: Any, workdir: Path) -> None:
  shapes = [jax.tree.map(lambda x: tuple(x.shape), tree) for tree in (saved, wanted)]
  if shapes[0] != shapes[1]:
    raise UserError(f"{workdir}: its arrays do not fit its config; it was made by other code")
