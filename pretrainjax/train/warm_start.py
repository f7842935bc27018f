"""Warm start: a new run begins with parts of other runs, taken by name."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded, Part, load
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.checkpoint.surgery import Transfer, transfer
from pretrainjax.config.allowed import ANYTHING, TARGET, resolve
from pretrainjax.config.objects import RECIPE
from pretrainjax.config.text import flatten
from pretrainjax.errors import UserError, nearest
from pretrainjax.models.layers.lora import LORA_A, LORA_B
from pretrainjax.objectives.split import split
from pretrainjax.objectives.teacher import trainable
from pretrainjax.train.assemble import Run
from pretrainjax.train.state import TrainState


class TakenPart(NamedTuple):
  """A part of another run that goes into a new one.

  Attributes:
    name: the name of the part in the new run.
    source: the trained part of the other run.
    reference: the reference that the user typed.
    loaded: all that was loaded of the other run.
  """

  name: str
  source: Part
  reference: Reference
  loaded: Loaded


def take_parts(
  config: ConfigDict, *, allow: tuple[str, ...], defaults: ConfigDict | None = None
) -> list[TakenPart]:
  """Loads what `config.init` names, and puts its recipes into `config.objective`.

  Args:
    config: the config of the new run, which is changed in place. `init` is None, RUN[@STEP][:PART],
      several of them with commas or as a tuple, or a dict from parts of the new run to one each. A
      part goes where the new run has one of its name, else it becomes the encoder; without PART the
      run takes what its objective inherits. `changes` are arguments of the encoder, and those of
      another part by its name, {"decoder": {"dropout": 0.1}}.
    allow: the packages beside ours whose classes the configs of those runs may name.
    defaults: the config without what flags changed; None takes it that they changed nothing.

  Returns:
    The parts that were taken.

  Raises:
    UserError: for what cannot be loaded, a part that is not there or taken twice, a change that
      names no argument of its part, or a flag that would change nothing.
  """
  references = list(_references(config.get("init")))
  typed = _typed_changes(config, defaults)
  if not references or "objective" not in config:  # which `assemble` tells
    if typed:
      raise UserError(
        f"--config.changes.{typed[0]}: without effect, as config.init names no run; say "
        f"--config.objective.backbone.{typed[0]}"
      )
    _refuse_updates_of_nothing(config)
    _refuse_what_nobody_lends(config, [])
    return []
  taken, runs = [], {}
  objective = resolve(config.objective.get(TARGET), "config.objective", allow=ANYTHING)
  for name, reference in references:
    run = str(reference.whole)
    loaded = runs[run] = runs[run] if run in runs else load(run, allow=allow)
    there = loaded.parts
    wanted = [reference.part] if reference.part else ["encoder"]
    if not reference.part and name is None:
      wanted = [part for part in objective.inherited if _fits(part, there, config)] or wanted
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
  _refuse_what_nobody_lends(config, names)
  used = set()
  for one in taken:
    made_by = objective.recipes.get(one.name, one.name)
    _refuse_flags(config, defaults, one, made_by=made_by)
    used |= _set_recipe(config, one, made_by=made_by)
  if unused := [name for name in typed if name not in used]:
    raise _no_such_change(unused[0], taken)
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
  allow["allow_fresh"] += (f"*{LORA_A}", f"*{LORA_B}")
  for one in taken:
    target = _destination(run.objective, module, one.name)
    moved = _copy_arrays(one.source.module, target, part=one.name, **allow)
    label = "init" if len(taken) == 1 else f"init {one.name}"
    at = f", step {one.loaded.step}" if one.loaded.source == "run" else ""
    origin = f"{one.reference}{at}"
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


def _fits(part: str, there: Mapping[str, Part], config: ConfigDict) -> bool:
  """Whether a run has a part that may go where the new one has another network of the name.

  An encoder always may; a head that scores a vocabulary is none that scores classes.
  """
  wanted = config.objective.get(part)
  if part not in there or wanted is None:
    return part in there
  source = there[part].config
  return source is None or source.get(TARGET) == wanted.get(TARGET)


def _listed(text: str) -> list[str]:
  """The references of "RUN,RUN"; a folder's name may hold commas, as those of a sweep do."""
  parts, found = text.split(","), []
  while parts:
    firsts = (",".join(parts[:count]) for count in range(len(parts), 0, -1))
    there = next((one for one in firsts if Reference.parse(one.strip()).folder.is_dir()), parts[0])
    found.append(there)
    parts = parts[there.count(",") + 1 :]
  return found


def _refuse_updates_of_nothing(config: ConfigDict) -> None:
  """Refuses low-rank updates of networks that nobody trained."""
  rank = (config.get("lora") or {}).get("rank")
  if rank:
    raise UserError(
      f"--config.lora.rank: found {rank}, but config.init names no run, so that what is held fixed "
      "would be random; expected --config.init=RUN, or rank 0"
    )


def _refuse_what_nobody_lends(config: ConfigDict, names: list[str]) -> None:
  """Refuses a run that would begin with random parameters where others have to come from."""
  if "objective" not in config:
    return
  objective = resolve(config.objective.get(TARGET), "config.objective", allow=ANYTHING)
  for part in getattr(objective, "borrowed", ()):
    is_made = config.objective.get(objective.recipes.get(part, part)) is not None
    if is_made and part not in names:
      raise UserError(
        f"--config.init.{part}: found none, expected the run that it comes from, RUN[@STEP][:PART]"
      )


def _set_recipe(config: ConfigDict, one: TakenPart, *, made_by: str) -> set[str]:
  """Sets the recipe of a part in the new config, changed by `config.changes`; returns which."""
  if one.source.config is None or made_by not in config.objective:
    return set()
  recipe = one.source.config.copy_and_resolve_references()
  used = set()
  for key, value in _changes_of(config, one.name).items():
    name = key.rpartition(".")[2]
    if name not in recipe or name in (TARGET, RECIPE):
      if recipe[TARGET] == config.objective[made_by].get(TARGET):
        raise _no_such_change(key, [one])
      continue  # a change meant for another architecture
    with recipe.ignore_type():
      recipe[name] = value
    used.add(key)
  config.objective[made_by] = recipe
  return used


def _changes_of(config: ConfigDict, part: str) -> dict[str, Any]:
  """What `config.changes` says of a part, by key: "dropout" of the encoder, "decoder.dropout"."""
  changes = flatten(config.get("changes") or ConfigDict())
  return {
    key: value
    for key, value in changes.items()
    if (key.partition(".")[0] if "." in key else "encoder") == part
  }


def _typed_changes(config: ConfigDict, defaults: ConfigDict | None) -> list[str]:
  """Keys of `config.changes` that flags have set."""
  was = config if defaults is None else defaults
  before, after = (flatten(one.get("changes") or ConfigDict()) for one in (was, config))
  return [key for key in after if key not in before or before[key] != after[key]]


def _refuse_flags(
  config: ConfigDict, defaults: ConfigDict | None, one: TakenPart, *, made_by: str
) -> None:
  """Refuses flags of a recipe in whose place the trained part brings its own."""
  if defaults is None or one.source.config is None or made_by not in config.objective:
    return
  before, after = (flatten(c.objective.get(made_by) or ConfigDict()) for c in (defaults, config))
  changed = [key for key in after if key not in before or before[key] != after[key]]
  if changed:
    key, part = changed[0], "" if one.name == "encoder" else f"{one.name}."
    raise UserError(
      f"--config.objective.{made_by}.{key}: without effect, as this network comes from config.init "
      f"with the arguments that it was trained with; say --config.changes.{part}{key}={after[key]}"
    )


def _no_such_change(key: str, taken: list[TakenPart]) -> UserError:
  """What a change should have been called."""
  *parents, name = key.split(".")
  part = parents[0] if parents else "encoder"
  recipes = [one.source.config for one in taken if one.name == part]
  if not recipes:
    names = [one.name for one in taken]
    return UserError(
      f"--config.changes.{key}: config.init brings no '{part}'{nearest(part, names)}"
    )
  choices = [k for k in recipes[0] or {} if k not in (TARGET, RECIPE)]
  return UserError(f"--config.changes.{key}: no such argument{nearest(name, choices)}")


def _destination(objective: Any, module: nnx.Module, name: str) -> nnx.Module:
  """The network that a part is copied into: the student, where `encoder` returns its teacher."""
  there = objective.parts(module)
  own = getattr(module, name, None)
  if not isinstance(own, nnx.Module) and name not in there:
    raise UserError(f"--config.init: the new run has no part '{name}'{nearest(name, there)}")
  return own if isinstance(own, nnx.Module) else there[name]


def _copy_arrays(source: nnx.Module, target: nnx.Module, **how: Any) -> Transfer:
  """Copies the arrays of a network into another one, in place; it may be a frozen teacher."""
  _, saved_params, saved_extras = split(source)
  _, params, extras = split(trainable(target))
  moved = transfer(saved_params, params, **how)
  nnx.update(target, moved.params)
  if saved_extras:
    nnx.update(target, transfer(saved_extras, extras, **how).params)
  return moved
