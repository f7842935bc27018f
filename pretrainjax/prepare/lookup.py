"""Sources by name: there is no table, a source is found where its module lies."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import pretrainjax.prepare
from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.prepare.contract import Preparation

_FOLDER = "folder"
_LOG = "interactions"


def source_class(name: str) -> type:
  """The class that a user names on the command line.

  Args:
    name: the name of a module in one of the folders `sets`, "fashion_mnist"; "image_folder", or
      "image" for short, for what reads a folder of one's own; "interactions", for what reads a log;
      or "package.module:Source" of any package.

  Raises:
    UserError: for a name that is none, or a class that is no source.
  """
  if ":" in name:
    return _of_package(name)
  known = _modules()
  module = known.get(name) or known.get(f"{name}_{_FOLDER}")
  if module is None:
    raise UserError(
      f"prepare: no source '{name}'{nearest(name, names())}; one of another package is named "
      "package.module:Source"
    )
  return importlib.import_module(module).Source


def names() -> list[str]:
  """Names of all sources of ours; nothing is imported to find them."""
  short = [name.removesuffix(f"_{_FOLDER}") for name in _modules() if name.endswith(_FOLDER)]
  return sorted([*_modules(), *short])


def _modules() -> dict[str, str]:
  """Modules by names of sources: prepare/KIND/sets/NAME, and prepare/KIND/folder or a log's."""
  found = {}
  here = Path(pretrainjax.prepare.__path__[0])
  for kind in _inside(here):
    package = f"pretrainjax.prepare.{kind}"
    if _FOLDER in _inside(here / kind):
      found[f"{kind}_{_FOLDER}"] = f"{package}.{_FOLDER}"
    if _LOG in _inside(here / kind):
      found[_LOG] = f"{package}.{_LOG}"
    found |= {name: f"{package}.sets.{name}" for name in _inside(here / kind / "sets")}
  return found


def _inside(folder: Path) -> list[str]:
  """Names of the modules of a package that is not imported."""
  return [module.name for module in pkgutil.iter_modules([str(folder)])]


def _of_package(name: str) -> type:
  module, _, attribute = name.partition(":")
  try:
    found = importlib.import_module(module)
  except Exception as error:  # a package may do anything while it is imported
    raise UserError(f"prepare: '{module}' cannot be imported ({one_line(error)})") from error
  classes = [key for key, value in vars(found).items() if inspect.isclass(value)]
  target = getattr(found, attribute, None)
  if not inspect.isclass(target):
    raise UserError(f"prepare: '{module}' has no class '{attribute}'{nearest(attribute, classes)}")
  check_source(target, name)
  return target


def check_source(target: type, name: str) -> None:
  """Refuses a class that is no source.

  Raises:
    UserError: with what is missing.
  """
  wanted = {
    "name": hasattr(target, "name") or "name" in getattr(target, "__dataclass_fields__", {}),
    "preparation": isinstance(getattr(target, "preparation", None), Preparation),
    "open": callable(getattr(target, "open", None)),
    "dataclass fields": hasattr(target, "__dataclass_fields__"),
  }
  missing = [part for part, is_there in wanted.items() if not is_there]
  if missing:
    raise UserError(
      f"prepare: '{name}' has no {' and no '.join(missing)}, expected a source as in "
      "pretrainjax/prepare/contract.py"
    )
