"""The classes that a config may name; `build` makes no others, for a config may be a stranger's."""

import argparse
import fnmatch
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from pretrainjax.config.moved import today
from pretrainjax.errors import UserError, one_line

TARGET = "_target"
# For `allow`: classes of any package, for what the user's own config file names.
ANYTHING = ("*",)
# A config is data, also one that came with a stranger's checkpoint. What is here makes objects;
# what reads, writes, runs or loads is in other modules.
_OURS = (
  "pretrainjax.models",
  "pretrainjax.objectives",
  "pretrainjax.evaluators",
  "pretrainjax.losses",
  "pretrainjax.augment",
  "pretrainjax.masking",
  "pretrainjax.data.audio_data",
  "pretrainjax.data.image",
  "pretrainjax.data.image_data",
  "pretrainjax.data.item_data",
  "pretrainjax.data.pixels:Pixels",
  "pretrainjax.data.text_data",
  "pretrainjax.data.dataset",
  "pretrainjax.data.fields",
  "pretrainjax.checkpoint.manager:Keep",
  "pretrainjax.train.assemble:Train",
  "pretrainjax.train.duration:Duration",
  "pretrainjax.train.mesh:Axes",
  "pretrainjax.train.optimizer",
  "pretrainjax.train.schedule",
  "pretrainjax.train.parallel:Parallel",
  "pretrainjax.train.tracking:Tracking",
  "pretrainjax.train.spikes:Spikes",
  "pretrainjax.prepare.*:Source",
  *(
    f"pretrainjax.prepare.text.{name}"
    for name in ("cleaning:Cleaning", "duplicates:Duplicates", "fields:Fields", "form:Form")
  ),
  "pretrainjax.prepare.image.shrink:Shrink",
  "pretrainjax.prepare.audio.columns:AudioFields",
  "pretrainjax.prepare.audio.look:Look",
  "pretrainjax.prepare.items.columns:EventFields",
  "pretrainjax.prepare.items.columns:TableFields",
  "pretrainjax.prepare.items.preparation:Filters",
  "pretrainjax.prepare.items.splits:Splits",
  "pretrainjax.prepare.stages.holdout:Holdout",
  "pretrainjax.prepare.text.training:Tokenization",
)
# Where optax offers what it has. Its other modules hold tests too, which change the process.
_OPTAX = (
  "optax",
  "optax.contrib",
  "optax.losses",
  "optax.projections",
  "optax.schedules",
  "optax.second_order",
  "optax.transforms",
  "optax.tree",
)
# The name under which a config file itself is run.
CONFIG_FILE = "_pretrainjax_config"


_NAME = re.compile(r"[A-Za-z]\w*(\.\w+)*:[A-Za-z]\w*", flags=re.ASCII)
_PLACE = re.compile(r"[A-Za-z]\w*(\.\w+)*(:[A-Za-z]\w*)?", flags=re.ASCII)


class TargetError(UserError):
  """A config names a class that may not be built, or that is not there."""


def resolve(name: Any, path: str, *, allow: tuple[str, ...] = ()) -> Callable:
  """The class, or function, that "module:Name" names, if a config may name it.

  Args:
    name: "module:Name" out of a config, so anything; an old name of ours stands for the new one.
    path: the place of `name` in the whole config, for messages.
    allow: packages, modules or "module:Name" beside ours and optax; `ANYTHING` where the user
      wrote the config.

  Raises:
    TargetError: for a name that is refused, before anything is imported, or that is not there.
  """
  path = f"{path}.{TARGET}"
  if not _NAME.fullmatch(str(name)):
    hint = ""
    if str(name).startswith(f"{CONFIG_FILE}:"):
      hint = "; no other file can name what a config file defines: move it to a module"
    raise TargetError(f"{path}: found {name!r}, expected 'module:Name' of a class{hint}")
  name = today(name)
  module, _, attribute = name.partition(":")
  package = _package(name)
  if package == "optax":
    return _of_optax(module, attribute, path)
  is_ours = package == "pretrainjax"
  if is_ours and not _is_under(name, _OURS):
    raise TargetError(
      f"{path}: found '{name}', expected 'module:Name' of what configs may build: classes of "
      "pretrainjax that pretrainjax/config/allowed.py lists, in this version; what had another "
      "name in an older one is in config/moved.py"
    )
  if not is_ours and not _is_under(name, allow):
    raise TargetError(
      f"{path}: found '{name}' of the package '{package}', which a stored config may name only "
      f'where you trust that package: --allow={package}, or allow=("{package}",) in Python'
    )
  if not is_ours and allow != ANYTHING:
    module = _public_module(module, name, path, allow=allow)
  target = _attribute(module, attribute, path)
  # A module's attribute may be something that it merely imports, such as `os`.
  home = str(getattr(target, "__module__", ""))
  if is_ours:
    is_made = inspect.isclass(target) and home == module  # no function
  else:
    is_made = _package(home) == package
    is_made = is_made and (inspect.isclass(target) or inspect.isfunction(target))
  if not is_made:
    kind = "class" if is_ours else "class or function"
    raise TargetError(f"{path}: '{name}' is not a {kind} of {module if is_ours else package}")
  return target


def _public_module(module: str, name: str, path: str, *, allow: tuple[str, ...]) -> str:
  """The module that a class of an allowed package is taken from; none that is private or tests.

  Such modules may change the process when they are imported. What a private one defines is taken
  where a package above it offers it, unless the user allowed the module itself, or the class.
  """
  parts = module.split(".")
  hidden = [part for part in parts[1:] if part.startswith("_") or _is_test(part)]
  if not hidden or module in allow or name in allow:
    return module
  public, attribute = ".".join(parts[: parts.index(hidden[0])]), name.partition(":")[2]
  home = getattr(getattr(_imported(public), attribute, None), "__module__", None)
  if home == module and not any(map(_is_test, hidden)):
    return public
  raise TargetError(
    f"{path}: found '{name}' of a private module or one of tests, which is imported only where you "
    f'trust it by its name: --allow={module}, or allow=("{module}",) in Python'
  )


def _is_test(part: str) -> bool:
  """Whether a part of a module's name says that it holds tests."""
  is_named = part in ("test", "tests", "conftest")
  return is_named or part.startswith("test_") or part.endswith(("_test", "_tests"))


def _imported(module: str) -> Any:
  """A module, None where there is none."""
  try:
    return importlib.import_module(module) if module else None
  except Exception:  # a package may do anything while it is imported
    return None


def _attribute(module: str, attribute: str, path: str) -> Any:
  """What a module that may be imported has; TargetError says what to do where there is none."""
  package = _package(module)
  try:
    return getattr(importlib.import_module(module), attribute)
  except Exception as error:  # a package may do anything while it is imported
    reason = f"{path}: '{module}:{attribute}' does not exist ({one_line(error)[:300]})"
    if package == "pretrainjax":
      hint = "another version of pretrainjax wrote it, and config/moved.py has no new name for it"
    elif isinstance(error, ModuleNotFoundError) and error.name == package:
      hint = f"install the package '{package}', or put its folder on PYTHONPATH"
    else:
      hint = f"if '{package}' has moved it, import it at its old place too"
    raise TargetError(f"{reason}; {hint}") from error


def _of_optax(module: str, attribute: str, path: str) -> Callable:
  """A class or function that optax offers, whichever of its modules it is called by."""
  for public in (module,) if module in _OPTAX else _OPTAX:
    target = getattr(importlib.import_module(public), attribute, None)
    home = str(getattr(target, "__module__", ""))
    is_made = inspect.isclass(target) or inspect.isfunction(target)
    if is_made and _package(home) == "optax" and module in (public, home):
      return target
  raise TargetError(
    f"{path}: found '{module}:{attribute}', expected a class or function that {_OPTAX[0]}, or one "
    f"of {', '.join(_OPTAX[1:])}, offers"
  )


def _package(name: str) -> str:
  return re.split("[.:]", name, maxsplit=1)[0]


def _is_under(name: str, places: Iterable[str]) -> bool:
  """Whether "module:Name" is one of `places`, or in one; "*" stands for a folder, or for all."""
  return any(
    fnmatch.fnmatchcase(name, place) or name.startswith((f"{place}.", f"{place}:"))
    for place in places
  )


def names_of_others(config: Any) -> tuple[str, ...]:
  """Every "module:Name" of a config that is not ours, for `allow`: whoever wrote it trusts them."""
  if isinstance(config, (tuple, list)):
    return tuple(name for value in config for name in names_of_others(value))
  if not hasattr(config, "items"):
    return ()
  found = tuple(name for key in config for name in names_of_others(config[key]))
  own = config.get(TARGET)
  if not _NAME.fullmatch(str(own)) or _package(own) in ("pretrainjax", "optax"):
    return found
  return found if _package(own) in sys.stdlib_module_names else (own, *found)


def packages(names: str | Iterable[str]) -> tuple[str, ...]:
  """The packages that the user allows stored configs to name, checked.

  Args:
    names: packages or modules, "mylab" or "mylab.models"; commas may part them.

  Raises:
    UserError: for what is no package's name, or one of Python's own.
  """
  given = (names,) if isinstance(names, str) else names
  found = [part.strip() for name in given for part in str(name).split(",")]
  for name in found:
    if not _PLACE.fullmatch(name):
      raise UserError(f"--allow: found {name!r}, expected a package's name, such as 'mylab'")
    if _package(name) in sys.stdlib_module_names:
      raise UserError(
        f"--allow: found '{name}', which is Python's own, expected one that has models"
      )
  return tuple(found)


def add_allow_flag(parser: argparse.ArgumentParser) -> None:
  """Adds --allow, for binaries that read checkpoints; `packages` reads its values."""
  parser.add_argument(
    "--allow",
    metavar="PACKAGE",
    action="append",
    default=[],
    help="whose classes the configs of checkpoints may name beside ours; may be repeated",
  )
