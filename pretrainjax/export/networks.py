"""Which networks of a run are exported, what they are called there, and their arrays."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.convert.electra import as_generator
from pretrainjax.convert.table import flatten
from pretrainjax.errors import UserError, nearest


class Networks(NamedTuple):
  """Networks with what makes them.

  Attributes:
    recipes: the arguments of an objective that make them, and its hyper-parameters.
    params: their parameters by path, "encoder/...".
    modules: the networks by the first word of their paths.
    image_size: rows and columns of images, where something says them.
    fillers: tensors of the model that they came from that are nothing to them, by name.
  """

  recipes: Mapping[str, Any]
  params: Mapping[str, Any]
  modules: Mapping[str, nnx.Module]
  image_size: tuple[int, int] | None = None
  fillers: Mapping[str, np.ndarray] = {}

  @property
  def image(self) -> Any:
    """The recipe of the encoder of images; None without one."""
    return next((r for r, reads in self._encoders() if reads == "images"), None)

  @property
  def text(self) -> Any:
    """The recipe of the encoder of texts; None without one."""
    return next((r for r, reads in self._encoders() if reads == "texts"), None)

  @property
  def reads(self) -> tuple[str, ...]:
    """What the encoders read: "images", "texts", both, or "sound"."""
    return tuple(sorted({reads for _, reads in self._encoders()}))

  def _encoders(self) -> list[tuple[Any, str]]:
    """The recipe of each encoder, and what it reads."""
    names = ("backbone", "image", "text")
    found = [self.recipes[name] for name in names if self.recipes.get(name) is not None]
    return [(recipe, _reads(recipe)) for recipe in found]


def _reads(recipe: Any) -> str:
  """What an encoder reads, by what its recipe has to say of it."""
  if "vocab_size" in recipe:
    return "texts"
  return "images" if "image_mean" in recipe or "image_size" in recipe else "sound"


def networks_of(loaded: Loaded, part: str | None = None) -> Networks:
  """The networks of a run that a reference names.

  Args:
    loaded: the run, loaded without a part.
    part: the part that is exported as an encoder by itself, with what projects the features of a
      tower; None takes all networks.

  Raises:
    UserError: for a part that is not there, or that no argument of the objective makes.
  """
  parts, recipes = loaded.parts, _recipes(loaded.config.objective)
  if part is not None and part not in parts:
    raise UserError(f"--workdir: the run has no part '{part}'{nearest(part, parts)}")
  is_electra = "generator" in recipes
  if is_electra and part == "generator":
    trees = {name: _tree(parts[name].module) for name in ("encoder", "generator", "head")}
    made = as_generator(recipes, trees)
    return Networks(*made, {})
  if is_electra:
    recipes.pop("head", None)  # the generator's
  if part is not None:
    if parts[part].config is None:
      raise UserError(f"--workdir: no argument of the objective makes the part '{part}' alone")
    recipes, modules = {"backbone": parts[part].config}, {"encoder": parts[part].module}
    if (behind := parts.get(f"{part}_projector")) is not None:
      recipes["projector"], modules["projector"] = behind.config, behind.module
  else:
    made_by = loaded.objective.recipes
    modules = {n: p.module for n, p in parts.items() if made_by.get(n, n) in recipes}
  params = flatten({n: _tree(m) for n, m in modules.items()})
  size = _image_size(recipes.get("backbone") or recipes.get("image") or {}, loaded.config)
  return Networks(recipes, params, modules, size, loaded.fillers)


def _recipes(objective: ConfigDict) -> dict[str, Any]:
  return {name: objective[name] for name in objective if objective[name] is not None}


def _image_size(backbone: Any, config: ConfigDict) -> tuple[int, int] | None:
  """The size of an encoder of images, or of those that it was trained on where it takes any."""
  data = config.get("data") or {}
  transform = data.get("transform") or {}
  size = backbone.get("image_size") or transform.get("size")
  return (size, size) if isinstance(size, int) else size


def _tree(module: nnx.Module) -> dict[str, Any]:
  """The parameters of a network, and the statistics of its batch norms."""
  return nnx.to_pure_dict(nnx.state(module, (nnx.Param, nnx.BatchStat)))
