"""What a family of models of transformers is: one file, both directions, config and weights."""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from ml_collections import ConfigDict

import pretrainjax.convert
from pretrainjax.config.allowed import TARGET
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.table import Rule
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError, nearest

Library = Literal["transformers", "timm"]
# What makes our networks, by the objective's argument: backbone, head, decoder; beside them its
# hyper-parameters.
Recipes = Mapping[str, Any]


class Tokens(NamedTuple):
  """Ids of special tokens, which config.json repeats; None for what a vocabulary lacks."""

  pad: int | None = None
  begin: int | None = None
  end: int | None = None

  @classmethod
  def of(cls, tokenizer: Tokenizer | None) -> "Tokens":
    """Those of a tokenizer, or none where there is none."""
    if tokenizer is None:
      return cls()
    return cls(tokenizer.pad_id, tokenizer.begin_id, tokenizer.end_id)


class Table(NamedTuple):
  """What the tensors of a class are to us.

  Attributes:
    rules: what our parameters are called there.
    plain: the function that gives the one name that a tensor has in `rules`, of the several that
      versions gave it.
    written: the function that gives, of a name in `rules`, the one that is written.
    copies: names of tensors that are tied to another, and sometimes stored twice.
    buffers: regular expressions of tensors that are no parameters, found anywhere in a name.
    others: what belongs to objectives that we lack, likewise; left behind with a message.
    constants: tensors that are no parameters of ours, and are fixed numbers on their side.
    left: the paths of parameters of ours that the class has no place for: a bare model's head.
    fillers: tensors that are nothing to our networks, with what is written in their place, unless
      the networks came from a folder that has them.
  """

  rules: tuple[Rule, ...]
  plain: Callable[[str], str] = lambda name: name
  written: Callable[[str], str] = lambda name: name
  copies: Mapping[str, str] = {}
  buffers: tuple[str, ...] = ()
  others: tuple[str, ...] = ()
  constants: Mapping[str, np.ndarray] = {}
  fillers: Mapping[str, np.ndarray] = {}
  left: tuple[str, ...] = ()


class Holds(NamedTuple):
  """The networks that a class of transformers holds, by the arguments of `Imported`.

  Attributes:
    networks: those without which it is none.
    optional: those that it may hold too.
  """

  networks: tuple[str, ...]
  optional: tuple[str, ...] = ()


@runtime_checkable
class Family(Protocol):
  """A module of `pretrainjax.convert` that converts a family.

  Attributes:
    MODEL_TYPE: `model_type` of its config.json.
    CLASSES: the classes of transformers by name; of several that hold as many networks the first
      one is written.
  """

  MODEL_TYPE: str
  CLASSES: Mapping[str, Holds]

  def read_config(self, fields: Fields, kind: str) -> dict[str, ConfigDict]:
    """The recipes of a class's networks, out of its config.json."""
    ...

  def fits(self, recipes: Recipes, kind: str) -> bool:
    """Whether a class can express the networks that these recipes make."""
    ...

  def write_config(self, recipes: Recipes, kind: str, tokens: Tokens) -> dict[str, Any]:
    """The inverse of `read_config`, beside `architectures` and `model_type`."""
    ...

  def table(self, recipes: Recipes, kind: str, tokens: Tokens) -> Table:
    """The tensors of a class whose networks these recipes make."""
    ...


@runtime_checkable
class SoundFamily(Family, Protocol):
  """A family of encoders of sound, which says how samples become numbers too."""

  def read_processor(self, fields: Fields, backbone: ConfigDict) -> dict[str, Any]:
    """The arguments of the encoder that preprocessor_config.json holds."""
    ...

  def write_processor(self, recipes: Recipes) -> dict[str, Any]:
    """The content of preprocessor_config.json."""
    ...


@functools.cache
def families(library: Library = "transformers") -> tuple[Family, ...]:
  """All modules of this folder that are a family, sorted by name.

  Args:
    library: whose classes they are; a module that is of timm says so by LIBRARY, and has the
      ARCHITECTURES that its config.json may name.
  """
  names = sorted(found.name for found in pkgutil.iter_modules(pretrainjax.convert.__path__))
  modules = [importlib.import_module(f"pretrainjax.convert.{name}") for name in names]
  found = [module for module in modules if hasattr(module, "CLASSES")]
  return tuple(m for m in found if getattr(m, "LIBRARY", "transformers") == library)


def family_of(fields: Fields) -> tuple[Family, str]:
  """The family of a config.json, and the class that it names.

  Raises:
    UserError: for a class that we do not have, or code that would have to be run.
  """
  if fields.values.get("auto_map"):
    raise fields.refused("auto_map", "nothing: code that comes with weights is never run")
  listed = fields.get("architectures", None)
  if listed is None and "architecture" in fields.values:
    return _timm_family(fields)
  if listed is None:  # as the oldest files have it
    model_type = fields.get("model_type")
    for family in families():
      if family.MODEL_TYPE == model_type:
        return family, next(kind for kind in family.CLASSES if kind.endswith("Model"))
    types = [family.MODEL_TYPE for family in families()]
    raise fields.refused("model_type", f"a family that we have{nearest(str(model_type), types)}")
  if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], str):
    raise fields.refused("architectures", "a list of one name")
  kinds = {kind: family for family in families() for kind in family.CLASSES}
  if listed[0] not in kinds:
    raise fields.refused("architectures", f"a class that we have{nearest(listed[0], kinds)}")
  family = kinds[listed[0]]
  fields.must_be("model_type", family.MODEL_TYPE)
  return family, listed[0]


def _timm_family(fields: Fields) -> tuple[Family, str]:
  known = {name: m for m in families("timm") for name in m.ARCHITECTURES}
  name = fields.get("architecture")
  if not isinstance(name, str) or name not in known:
    raise fields.refused("architecture", f"one that we have{nearest(str(name), known)}")
  return known[name], next(iter(known[name].CLASSES))


def class_for(
  recipes: Recipes, *, kind: str | None = None, library: Library = "transformers"
) -> tuple[Family, str, tuple[str, ...]]:
  """The class of another library that networks of ours are written as.

  Args:
    recipes: all networks that there are, by argument.
    kind: the class that the user asked for; None takes the one that holds most of them.
    library: whose classes are taken.

  Returns:
    Its family, its name, and the arguments whose networks it holds.

  Raises:
    UserError: where there is none.
  """
  choices = {
    name: (family, name, _held(holds, recipes))
    for family in families(library)
    for name, holds in family.CLASSES.items()
    if all(argument in recipes for argument in holds.networks) and family.fits(recipes, name)
  }
  if kind is not None:
    if kind not in choices:
      raise UserError(
        f"--architecture: found '{kind}', expected a class that fits{nearest(kind, choices)}"
      )
    return choices[kind]
  if not choices:
    encoder = recipes.get("backbone", recipes.get("image"))
    target = str((encoder or {}).get(TARGET)).rpartition(":")[2]
    known = sorted({family.MODEL_TYPE for family in families(library)})
    also = _elsewhere(recipes, library)
    raise UserError(
      f"no class of {library} holds this {target} with its arguments{also}; "
      f"families: {', '.join(known)}"
    )
  return max(choices.values(), key=lambda choice: len(choice[2]))


def _elsewhere(recipes: Recipes, library: Library) -> str:
  """Where networks can go that no class of transformers holds, for messages."""
  if library == "timm" or "backbone" not in recipes:
    return ""
  kinds = ((family, kind) for family in families("timm") for kind in family.CLASSES)
  return ", but one of timm (--form=timm)" if any(f.fits(recipes, k) for f, k in kinds) else ""


def _held(holds: Holds, recipes: Recipes) -> tuple[str, ...]:
  return (*holds.networks, *(argument for argument in holds.optional if argument in recipes))


def makes(recipe: ConfigDict | None, target: type) -> bool:
  """Whether a recipe makes networks of this very class."""
  name = f"{target.__module__}:{target.__qualname__}"
  return recipe is not None and recipe.get(TARGET) == name


def with_prefix(name: str, prefix: str, heads: tuple[str, ...]) -> str:
  """The name of a tensor within a model with heads, for one of a bare model, which lacks `prefix`.

  Args:
    name: the name of the tensor.
    prefix: what begins the names of the bare model's tensors within the other one.
    heads: what begins the names of the others.
  """
  return name if name.startswith((prefix, *heads)) else f"{prefix}{name}"
