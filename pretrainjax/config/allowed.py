"""What a config may name: `build` makes nothing else, since a config may be a stranger's."""

import fnmatch
import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from pretrainjax.errors import UserError, one_line

TARGET = "_target"
# For `allow`: classes of any package, for what the user named.
ANYTHING = ("*",)
# `build` calls nothing else: a config is data, also one that came with a stranger's checkpoint.
# What is here makes objects; what reads, writes, runs or loads is in other modules.
_ALLOWED = (
  *("optax", "pretrainjax.models", "pretrainjax.objectives", "pretrainjax.evaluators"),
  *("pretrainjax.losses", "pretrainjax.augment", "pretrainjax.mixing", "pretrainjax.masking"),
  *("pretrainjax.data.image", "pretrainjax.data.image_data", "pretrainjax.data.text_data"),
  "pretrainjax.checkpoint.manager:Keep",
  *("pretrainjax.train.assemble:Train", "pretrainjax.train.duration:Duration"),
  *("pretrainjax.train.mesh:Axes", "pretrainjax.train.optimizer", "pretrainjax.train.schedule"),
  *("pretrainjax.train.parallel:Parallel", "pretrainjax.train.tracking:Tracking"),
  "pretrainjax.train.spikes:Spikes",
  "pretrainjax.prepare.*:Source",
  *(
    f"pretrainjax.prepare.text.{name}"
    for name in ("cleaning:Cleaning", "duplicates:Duplicates", "fields:Fields", "form:Form")
  ),
  "pretrainjax.prepare.stages.holdout:Holdout",
  "pretrainjax.prepare.text.training:Tokenization",
)


def resolve(name: Any, path: str, *, allow: tuple[str, ...] = ()) -> Callable:
  """The class, or function of optax, that "module:Name" names, if a config may name it.

  Args:
    name: out of a config, so anything.
    path: where it lies in the whole, for messages.
    allow: packages, modules or "module:Name" beside ours; `ANYTHING` where the user wrote it.

  Raises:
    UserError: for a name outside of what configs may build. Nothing is imported before that.
  """
  module, _, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
  is_name = re.fullmatch(r"[A-Za-z]\w*(\.\w+)*:[A-Za-z]\w*", str(name), flags=re.ASCII)
  if not is_name or not any(
    _is_under(f"{module}:{attribute}", place) for place in (*_ALLOWED, *allow)
  ):
    raise UserError(
      f"{path}.{TARGET}: found {name!r}, expected 'module:Name' of what configs may build: "
      "classes of pretrainjax that pretrainjax/config/allowed.py lists, and what is in optax"
    )
  try:
    target = getattr(importlib.import_module(module), attribute)
  except (ImportError, AttributeError) as error:
    raise UserError(f"{path}.{TARGET}: '{name}' does not exist ({one_line(error)})") from error
  # A module's attribute may be something that it merely imports, such as `os`.
  home = str(getattr(target, "__module__", ""))
  is_of_optax = module.split(".")[0] == home.split(".")[0] == "optax"
  is_made = inspect.isclass(target) and (is_of_optax or home == module)  # ours: no function
  if not is_made and not (is_of_optax and inspect.isfunction(target)):
    raise UserError(f"{path}.{TARGET}: '{name}' is not a class of {module}, or a function of optax")
  return target


def _is_under(name: str, place: str) -> bool:
  """Whether "module:Name" is `place`, or in it; "*" stands for a folder."""
  return fnmatch.fnmatchcase(name, place) or name.startswith((f"{place}.", f"{place}:"))
