"""Loads a pretrained encoder, or all parts of a run, from nothing but the path of its workdir."""

import dataclasses
import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.array_names import describe_arrays, differences, refuse_differences
from pretrainjax.checkpoint.manager import FOLDER, Checkpoints
from pretrainjax.checkpoint.manifest import verify
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.allowed import TargetError, packages
from pretrainjax.config.objects import build, typed
from pretrainjax.convert import folder as theirs
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import abstract_split
from pretrainjax.objectives.teacher import trainable
from pretrainjax.types import Encoder
from pretrainjax.untrusted import BadFile, is_inside

# How often a reader tries again, and the seconds it waits for a sign of a running trainer.
_ATTEMPTS, _SECONDS = 20, 0.5
_log = logging.getLogger(__name__)
Weights = Literal["auto", "ema", "online"]


class Part(NamedTuple):
  """One network of those that a run trained, with its recipe.

  Attributes:
    module: the network with the saved arrays.
    config: the recipe with which another run can make it; None where it is made by no argument of
      the objective.
  """

  module: nnx.Module
  config: ConfigDict | None


@dataclasses.dataclass(frozen=True)
class Loaded:
  """The result of a run: its objective with the saved arrays.

  Attributes:
    config: the resolved config that was saved with the checkpoint.
    objective: the objective that was built from it.
    module: the objective's module with the saved arrays.
    step: the step of the checkpoint.
    workdir: the run's folder; None for what was not loaded from one.
    part: the name of the part that the reference asked for; None where it named none.
    source: "run" for a run of ours, "hf" for a model that transformers wrote.
  """

  config: ConfigDict
  objective: Objective
  module: nnx.Module
  step: int
  workdir: Path | None = None
  part: str | None = None
  source: Literal["run", "hf"] = "run"

  @property
  def encoder(self) -> Encoder:
    """The encoder of the run, or the part that the reference named.

    A teacher's parameters can be trained again.
    """
    return self.encoder_of(self.module)

  def encoder_of(self, module: nnx.Module) -> Encoder:
    """The encoder of another module of the objective, such as one with random parameters."""
    if self.part is None:
      return trainable(self.objective.encoder(module))
    return trainable(self.objective.parts(module)[self.part])

  @property
  def parts(self) -> dict[str, Part]:
    """The networks that other runs can take, by name, each with its recipe."""
    recipes = self.config.objective
    found = {}
    for name, module in self.objective.parts(self.module).items():
      made_by = self.objective.recipes.get(name, name)
      found[name] = Part(trainable(module), recipes[made_by] if made_by in recipes else None)
    return found

  @property
  def tokenizer(self) -> Tokenizer | None:
    """The tokenizer of a run or model on text; None for others.

    Raises:
      UserError: for a file that is none, or leads out of the folder.
    """
    if self.source == "hf" and self.workdir is not None:
      return theirs.read_tokenizer(self.workdir)
    path = self.tokenizer_path
    return None if path is None else Tokenizer.load(path, inside=self.workdir)

  @property
  def tokenizer_path(self) -> Path | None:
    """The tokenizer.json of a run on text; None for other runs.

    Raises:
      BadFile: where it leads out of the run's folder.
    """
    path = None if self.workdir is None else self.workdir / "tokenizer.json"
    if self.workdir is None or path is None or not os.path.lexists(path):
      return None
    if not is_inside(path, self.workdir):
      raise BadFile(path, f"leads out of {self.workdir}")
    return path


def load_encoder(
  workdir: str | Path,
  *,
  step: int | None = None,
  weights: Weights = "auto",
  allow: str | Iterable[str] = (),
) -> Encoder:
  """Loads the encoder that a run trained, to be called, jitted or differentiated through.

  Args:
    workdir: the folder of a run of `pretrain` or `finetune`; "WORKDIR[@STEP][:PART]" names the step
      too, and another part of what was trained than the encoder, such as one of two towers. Or
      "hf:FOLDER[:PART]", a model that transformers wrote, or the name of one on its hub.
    step: the step of the checkpoint; None takes the newest intact one.
    weights: which weights to take: "ema" the moving average, "online" the trained ones, "auto" the
      moving average where the run kept one.
    allow: the packages beside ours whose classes the run's config may name, ("mylab",): their code
      is imported, and called with what the config says.

  Returns:
    A Flax NNX module; `encoder(inputs).pooled` is "B D". `nnx.split(encoder)` gives bare
    (graphdef, state) for code that is not NNX.

  Raises:
    UserError: for a folder without checkpoints, a step that is not there, or damaged ones; a
      TargetError for a class that is not allowed, or that is not there.
  """
  return load(workdir, step=step, weights=weights, allow=allow).encoder


def load(
  workdir: str | Path,
  *,
  step: int | None = None,
  weights: Weights = "auto",
  allow: str | Iterable[str] = (),
) -> Loaded:
  """Loads all that a run trained: the encoder, and the networks beside it.

  The arguments are those of `load_encoder`.
  """
  allow = packages(allow)
  reference = Reference.parse(workdir, step=step)
  if reference.source == "hf":
    return _imported(reference, weights=weights)
  workdir, step, part = reference.folder, reference.step, reference.part
  if not (workdir / FOLDER).is_dir():
    folders = [p.parent.name for p in workdir.parent.glob(f"*/{FOLDER}")]
    raise UserError(
      f"{workdir}: no run's folder, {FOLDER}/ is missing{nearest(workdir.name, folders)}"
    )
  verify(workdir)
  with Checkpoints(workdir, read_only=True) as checkpoints:
    step, config, state = _newest_intact(checkpoints, workdir, step)
  config, objective = _built(config, workdir, allow=allow)
  graphdef, params, extras = _abstract(objective, workdir)
  saved = state["params"] if weights == "online" or "ema" not in state else state["ema"]
  if weights == "ema" and "ema" not in state:
    raise UserError(
      f"{workdir}: weights='ema', but the run kept no moving average (train.ema_decay)"
    )
  found = {"params": saved, "extras": state.get("extras", {})}
  rows = differences(describe_arrays(found), describe_arrays({"params": params, "extras": extras}))
  refuse_differences(
    rows, f"{workdir}@{step}", hint="its config does not make these arrays: other code did"
  )
  module = nnx.merge(graphdef, saved, state.get("extras", extras))
  _check_part(reference, objective.parts(module))
  return Loaded(config, objective, module, step, workdir, part)


def _imported(reference: Reference, *, weights: Weights) -> Loaded:
  """A model that transformers wrote, as if a run of ours had trained it."""
  if weights == "ema":
    raise UserError(f"'{reference}': weights='ema', but such a model has no moving average")
  found = theirs.read(reference.folder)
  _check_part(reference, found.objective.parts(found.module))
  return Loaded(
    found.config, found.objective, found.module, 0, found.folder, reference.part, source="hf"
  )


def _check_part(reference: Reference, there: Mapping[str, nnx.Module]) -> None:
  """Refuses a part that the run does not have, or that is no encoder."""
  part = reference.part
  if part is not None and part not in there:
    raise UserError(f"'{reference}': the run has no part '{part}'{nearest(part, there)}")
  if part is not None and not isinstance(there[part], Encoder):
    kind = type(there[part]).__name__
    raise UserError(
      f"'{reference}': found a {kind}, expected an encoder; `load(RUN).parts` has the others"
    )


def _built(
  config: ConfigDict, workdir: Path, *, allow: tuple[str, ...]
) -> tuple[ConfigDict, Objective]:
  """Builds the objective of a stored config; returns the config with today's arguments, and it."""
  where = {"path": "config.objective", "allow": allow}
  try:
    own = typed(config.get("objective"), **where)
    objective = build(own, **where)
  except TargetError as error:
    raise TargetError(f"{workdir}: {error}") from error
  if not isinstance(objective, Objective):
    found = type(objective).__name__
    raise UserError(f"{workdir}: its config makes a {found}, expected an objective")
  parts = {key: own if key == "objective" else config[key] for key in config}
  return ConfigDict(parts, sort_keys=False), objective


def _abstract(objective: Objective, workdir: Path) -> tuple[Any, Any, Any]:
  """As `abstract_split`; UserError where the recipes of the config make no model together."""
  try:
    return abstract_split(objective)
  except (ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
    raise UserError(f"{workdir}: its config makes no model: {one_line(error)[:500]}") from error


def _newest_intact(
  checkpoints: Checkpoints, workdir: Path, step: int | None
) -> tuple[int, ConfigDict, Any]:
  """The newest intact step, its config and arrays, while a trainer may be deleting old steps."""
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
  """Whether a step is gone or being deleted: trainers delete old steps after newer ones."""
  end = time.monotonic() + _SECONDS
  while checkpoints.has(step) and max(checkpoints.steps(), default=0) <= max(before):
    if time.monotonic() > end:
      return False
    time.sleep(0.05)
  return True
