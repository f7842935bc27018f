"""Loads a pretrained encoder, or all parts of a run, from nothing but the path of its workdir."""

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.array_names import describe_arrays, differences, refuse_differences
from pretrainjax.checkpoint.class_names import read_class_names
from pretrainjax.checkpoint.manager import FOLDER, Checkpoints
from pretrainjax.checkpoint.manifest import verify
from pretrainjax.checkpoint.reference import Reference, Source
from pretrainjax.config.allowed import TargetError, packages
from pretrainjax.config.objects import build, typed
from pretrainjax.convert import ctranslate2
from pretrainjax.convert import folder as theirs
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.lora import Adapted, LoRA, adapted, merge
from pretrainjax.objectives.split import abstract_split
from pretrainjax.objectives.teacher import trainable
from pretrainjax.types import Encoder
from pretrainjax.untrusted import BadFile, is_inside

# How often a reader tries again, and the seconds it waits for a sign of a running trainer.
_ATTEMPTS, _SECONDS = 20, 0.5
_log = logging.getLogger(__name__)
Weights = Literal["auto", "ema", "online"]
# Low-rank updates of a fine-tuning, in the kernels that they belong to, or beside them.
Updates = Literal["merged", "beside"]


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
    source: "run" for a run of ours, "hf" for a model that transformers wrote, "ct2" for one of
      CTranslate2.
    fillers: tensors of such a model that are nothing to our networks, by name, see
      `convert.family.Table`.
  """

  config: ConfigDict
  objective: Objective
  module: nnx.Module
  step: int
  workdir: Path | None = None
  part: str | None = None
  source: Source = "run"
  fillers: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

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
  def title(self) -> str:
    """What it is, in words, "a run of MAE"."""
    if self.source != "run":
      return f"a model of {' and '.join(self.objective.parts(self.module))}"
    return f"a run of {type(self.objective).__name__}"

  @property
  def tokenizer(self) -> Tokenizer | None:
    """The tokenizer of a run or model on text; None for others.

    Raises:
      UserError: for a file that is none, or leads out of the folder.
    """
    if self.source != "run" and self.workdir is not None:
      return theirs.read_tokenizer(self.workdir)
    path = self.tokenizer_path
    return None if path is None else Tokenizer.load(path, inside=self.workdir)

  @property
  def class_names(self) -> tuple[str, ...]:
    """The names of the classes that a run or model tells apart; () where they are not known.

    Raises:
      UserError: for a file that holds none, or leads out of the folder.
    """
    if self.workdir is None:
      return ()
    return (theirs.read_names if self.source == "hf" else read_class_names)(self.workdir)

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
      "hf:FOLDER[:PART]", a model that transformers wrote, or the name of one on its hub; or
      "ct2:FOLDER[:PART]", a Whisper that CTranslate2 wrote.
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
  updates: Updates = "merged",
  allow: str | Iterable[str] = (),
) -> Loaded:
  """Loads all that a run trained: the encoder, and the networks beside it.

  Args:
    workdir: the run, "WORKDIR[@STEP][:PART]", see `load_encoder`.
    step: the step of the checkpoint; None takes the newest intact one.
    weights: which weights to take, see `load_encoder`.
    updates: where the low-rank updates of a run with `config.lora` are: "merged" into the layers
      that they belong to, or "beside" them as they were trained, the objective then `Adapted`.
    allow: the packages beside ours whose classes the run's config may name.
  """
  allow = packages(allow)
  reference = Reference.parse(workdir, step=step)
  if reference.source != "run":
    return _imported(reference, weights=weights)
  with open_run(reference) as checkpoints:
    step, config, state = newest_intact(
      checkpoints, reference, read=lambda step, _: checkpoints.arrays(step)
    )
  workdir, part = reference.folder, reference.part
  config, objective = built(config, workdir, allow=allow)
  lora = updates_of(config, workdir)
  if lora is not None:
    objective = adapted(objective, lora)
  graphdef, params, extras = abstract(objective, workdir)
  saved = state[tree_of(weights, state, workdir)]
  found = {"params": saved, "extras": state.get("extras", {})}
  rows = differences(describe_arrays(found), describe_arrays({"params": params, "extras": extras}))
  refuse_differences(
    rows, f"{workdir}@{step}", hint="its config does not make these arrays: other code did"
  )
  module = nnx.merge(graphdef, saved, state.get("extras", extras))
  if isinstance(objective, Adapted) and updates == "merged":
    merge(module)
    objective = objective.objective
  _check_part(reference, objective.parts(module))
  return Loaded(config, objective, module, step, workdir, part)


def tree_of(weights: Weights, saved: Collection[str], workdir: Path) -> str:
  """Which tree of a state holds the wanted weights, "ema" or "params".

  Args:
    weights: which weights are wanted, see `load_encoder`.
    saved: the names of the trees that were saved.
    workdir: the folder of the run, for messages.

  Raises:
    UserError: where the moving average is wanted and there is none.
  """
  if weights == "ema" and "ema" not in saved:
    raise UserError(
      f"{workdir}: weights='ema', but the run kept no moving average (train.ema_decay)"
    )
  return "params" if weights == "online" or "ema" not in saved else "ema"


def open_run(reference: Reference) -> Checkpoints:
  """Opens a run's folder for reading, once its manifest is found right where it has one.

  Raises:
    UserError: for what is no run's folder, or not what its manifest lists.
  """
  workdir = reference.folder
  if not (workdir / FOLDER).is_dir():
    folders = [p.parent.name for p in workdir.parent.glob(f"*/{FOLDER}")]
    raise UserError(
      f"{workdir}: no run's folder, {FOLDER}/ is missing{nearest(workdir.name, folders)}"
    )
  verify(workdir)
  return Checkpoints(workdir, read_only=True)


def _imported(reference: Reference, *, weights: Weights) -> Loaded:
  """A model that others wrote, as if a run of ours had trained it."""
  if weights == "ema":
    raise no_average(reference)
  if reference.source == "ct2":
    whisper, folder = ctranslate2.read_whisper(reference.folder), reference.folder
    networks, fillers = (whisper.config, whisper.objective, whisper.module), {}
  else:
    found = theirs.read(reference.folder)
    networks, folder = (found.config, found.objective, found.module), found.folder
    fillers = found.fillers
  _, objective, module = networks
  _check_part(reference, objective.parts(module))
  return Loaded(*networks, 0, folder, reference.part, reference.source, fillers)


def no_average(reference: Reference) -> UserError:
  """The error of a moving average that is wanted of a model that others wrote."""
  return UserError(f"'{reference}': weights='ema', but such a model has no moving average")


def _check_part(reference: Reference, there: Mapping[str, nnx.Module]) -> None:
  """Refuses a part that the run does not have, or that is no encoder."""
  part = reference.part
  if part is not None and part not in there:
    raise UserError(
      f"'{reference}': the {reference.noun} has no part '{part}'{nearest(part, there)}"
    )
  if part is not None and not isinstance(there[part], Encoder):
    kind = type(there[part]).__name__
    raise UserError(
      f"'{reference}': found a {kind}, expected an encoder; `load(RUN).parts` has the others"
    )


def built(
  config: ConfigDict, workdir: Path, *, allow: tuple[str, ...]
) -> tuple[ConfigDict, Objective]:
  """Builds the objective of a stored config.

  Args:
    config: the config, as it was stored.
    workdir: the folder of the run, for messages.
    allow: the packages beside ours whose classes it may name.

  Returns:
    The config with today's arguments, and the objective.

  Raises:
    UserError: for a config that makes no objective.
  """
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


def updates_of(config: ConfigDict, workdir: Path) -> LoRA | None:
  """The low-rank updates that a run was trained with; None without any.

  Args:
    config: the config of the run.
    workdir: the folder of the run, for messages.

  Raises:
    UserError: for a stored config that says something else under "lora".
  """
  lora = build(config.get("lora"), path="config.lora")
  if lora is not None and not isinstance(lora, LoRA):
    raise UserError(f"{workdir}: its config.lora makes a {type(lora).__name__}, expected a LoRA")
  return lora if lora is not None and lora.rank else None


def abstract(objective: Objective, workdir: Path) -> tuple[Any, Any, Any]:
  """As `abstract_split`; UserError where the recipes of the config make no model together."""
  try:
    return abstract_split(objective)
  except (ValueError, TypeError, AttributeError, OverflowError, MemoryError) as error:
    raise UserError(f"{workdir}: its config makes no model: {one_line(error)[:500]}") from error


def newest_intact(
  checkpoints: Checkpoints, reference: Reference, *, read: Callable[[int, ConfigDict], Any]
) -> tuple[int, ConfigDict, Any]:
  """Finds the newest intact step, while a trainer may be deleting old ones.

  Args:
    checkpoints: those of the run's folder, opened for reading.
    reference: the reference, which may name the step.
    read: reads arrays of a step, given its config. What it raises is damage of the step, but for a
      UserError, which goes on to the caller.

  Returns:
    The step, its config, and what `read` returned.

  Raises:
    UserError: where no step is intact.
  """
  workdir, step, damaged = reference.folder, reference.step, {}
  for _ in range(_ATTEMPTS):
    steps = checkpoints.steps()
    if not steps or (step is not None and step not in steps):
      wanted = "any checkpoint" if step is None else f"checkpoint {step}"
      raise UserError(f"{workdir}: has not {wanted}; saved: {steps or 'none'}")
    tried = [s for s in (steps if step is None else [step]) if s not in damaged]
    if not tried:
      break
    config = None
    try:
      config = checkpoints.config(tried[0])
      return tried[0], config, read(tried[0], config)
    except Exception as error:  # Orbax raises many kinds for damage
      if config is not None and isinstance(error, UserError):
        raise
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
