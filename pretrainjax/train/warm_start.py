"""Warm start: a new run begins with parts of other runs, taken by name."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded, Part, load
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.checkpoint.surgery import Transfer, transfer
from pretrainjax.config.allowed import ANYTHING, TARGET, resolve
from pretrainjax.config.objects import RECIPE
from pretrainjax.errors import UserError, nearest
from pretrainjax.objectives.split import split
from pretrainjax.train.assemble import Run
from pretrainjax.train.state import TrainState


class TakenPart(NamedTuple):
  """A part of another run that goes into a new one.

  Attributes:
    name: the name of the part in the new run.
    source: the trained part.
    reference: the reference that the user typed.
    loaded: the other run.
  """

  name: str
  source: Part
  reference: Reference
  loaded: Loaded


def take_parts(config: ConfigDict, *, allow: tuple[str, ...]) -> list[TakenPart]:
  """Loads what `config.init` names, and puts its recipes into `config.objective`.

  Args:
    config: the config of the new run, which is changed in place. `init` is None, RUN[@STEP][:PART],
      several of them with commas or as a tuple, or a dict from parts of the new run to one each. A
      part goes where the new run has one of its name, else it becomes the encoder; without PART the
      run takes what its objective inherits. `changes` are arguments of the encoder.
    allow: the packages beside ours whose classes the configs of those runs may name.

  Returns:
    The parts that were taken.

  Raises:
    UserError: for what cannot be loaded, a part that is not there or taken twice, or a change that
      names no argument of the encoder.
  """
  references = list(_references(config.get("init")))
  if not references or "objective" not in config:  # which `assemble` tells
    return []
  taken, runs = [], {}
  objective = resolve(config.objective.get(TARGET), "config.objective", allow=ANYTHING)
  for name, reference in references:
    run = str(Reference(reference.folder, reference.step))
    loaded = runs[run] = runs[run] if run in runs else load(run, allow=allow)
    there = loaded.parts
    wanted = [reference.part] if reference.part else ["encoder"]
    if not reference.part and name is None:
      wanted = [part for part in objective.inherited if part in there] or wanted
    for part in wanted:
      if part not in there:
        raise UserError(f"--config.init: {run} has no part '{part}'{nearest(part, there)}")
      has_it = objective.recipes.get(part, part) in config.objective
      taken.append(
        TakenPart(name or (part if has_it else "encoder"), there[part], reference, loaded)
      )
  names = [one.name for one in taken]
  if twice := sorted({name for name in names if names.count(name) > 1}):
    raise UserError(f"--config.init: '{twice[0]}' is taken twice, from {config.init}")
  for one in taken:
    _set_recipe(config, one, made_by=objective.recipes.get(one.name, one.name))
  return taken


def first_state(run: Run, taken: list[TakenPart]) -> tuple[TrainState, list[str]]:
  """Makes a new state with parts of other runs, and one line a part that lists its arrays.

  Args:
    run: the run, built from its config; its `transfer` says what may be new, and what left behind.
    taken: the parts, as of `take_parts`.

  Raises:
    UserError: where arrays do not fit.
  """
  state, lines = jax.jit(run.init)(), []
  module = nnx.merge(run.graphdef, state.params, state.extras)
  patterns = run.config.get("transfer") or {}
  allow = {f"allow_{key}": tuple(patterns.get(key, ())) for key in ("fresh", "unused")}
  for one in taken:
    target = _destination(run.objective, module, one.name)
    moved = _copy_arrays(one.source.module, target, part=one.name, **allow)
    label = "init" if len(taken) == 1 else f"init {one.name}"
    origin = f"{one.reference}, step {one.loaded.step}"
    lines.append(f"{label} from {origin}: {moved.summary()}; the rest is new")
  run.objective.after_load(module)
  _, params, extras = split(module)
  ema = None if state.ema is None else jax.tree.map(jax.numpy.copy, params)
  # The optimizer's state holds no copy of parameters, so that it needs no change.
  return state.replace(params=params, extras=extras, ema=ema), lines


def _references(init: Any) -> Iterator[tuple[str | None, Reference]]:
  """Each reference of `config.init`, and the part of the new run that it is for, if it says so."""
  if init is None or init == "":
    return
  if isinstance(init, ConfigDict):
    yield from ((name, Reference.parse(init[name])) for name in init if init[name])
    return
  given = init if isinstance(init, (tuple, list)) else _listed(str(init))
  for text in given:
    yield None, Reference.parse(str(text).strip())


def _listed(text: str) -> list[str]:
  """The references of "RUN,RUN"; a folder's name may hold commas, as those of a sweep do."""
  parts, found = text.split(","), []
  while parts:
    firsts = (",".join(parts[:count]) for count in range(len(parts), 0, -1))
    there = next((one for one in firsts if Reference.parse(one.strip()).folder.is_dir()), parts[0])
    found.append(there)
    parts = parts[there.count(",") + 1 :]
  return found


def _set_recipe(config: ConfigDict, one: TakenPart, *, made_by: str) -> None:
  """Sets the recipe of a part in the new config, with `config.changes` applied to the encoder."""
  if one.source.config is None or made_by not in config.objective:
    return
  recipe = one.source.config.copy_and_resolve_references()
  changes = (config.get("changes") or {}) if one.name == "encoder" else {}
  for name in changes:
    if name not in recipe:
      if recipe[TARGET] == config.objective[made_by][TARGET]:
        choices = [k for k in recipe if k not in (TARGET, RECIPE)]
        raise UserError(f"--config.changes.{name}: no such argument{nearest(name, choices)}")
      continue  # a change meant for another architecture
    with recipe.ignore_type():
      recipe[name] = changes[name]
  config.objective[made_by] = recipe


def _destination(objective: Any, module: nnx.Module, name: str) -> nnx.Module:
  """The network that a part is copied into: the student, where `encoder` returns its teacher."""
  there = objective.parts(module)
  own = getattr(module, name, None)
  if not isinstance(own, nnx.Module) and name not in there:
    raise UserError(f"--config.init: the new run has no part '{name}'{nearest(name, there)}")
  return own if isinstance(own, nnx.Module) else there[name]


def _copy_arrays(source: nnx.Module, target: nnx.Module, **how: Any) -> Transfer:
  """Copies the arrays of a network into another one, in place."""
  _, saved_params, saved_extras = split(source)
  _, params, extras = split(target)
  moved = transfer(saved_params, params, **how)
  nnx.update(target, moved.params)
  if saved_extras:
    nnx.update(target, transfer(saved_extras, extras, **how).params)
  return moved
