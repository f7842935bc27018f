"""The configs that come with the package: where they lie, what they are called, what they import.

They stand in configs/ of the repository and in pretrainjax/shipped_configs of an installed wheel.
"""

import ast
import contextlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pretrainjax.errors import UserError, nearest
from pretrainjax.user_path import user_path

# The name under which config files import what they share: `from configs.blocks import training`.
PACKAGE = "configs"
_BLOCKS = "blocks"
_FIELDS = ("Command", "Minutes", "Expected")


class About(NamedTuple):
  """The facts that the docstring of a config tells.

  Attributes:
    summary: the first line of the docstring.
    command: the command that runs the config, on one line.
    minutes: the minutes that this takes, and on which hardware.
    expected: the score that comes out.
  """

  summary: str
  command: str
  minutes: str
  expected: str


def shipped_folder() -> Path:
  """The folder of the shipped configs: in an installed package, or beside it in a checkout."""
  package = Path(__file__).parents[1]
  installed = package / "shipped_configs"
  return installed if installed.is_dir() else package.parent / PACKAGE


def shipped_names() -> list[str]:
  """The whole names of all shipped configs, such as "pretrain/text/gpt_sotu", in order."""
  folder = shipped_folder()
  files = (path.relative_to(folder) for path in folder.rglob("*.py"))
  return sorted(f.with_suffix("").as_posix() for f in files if f.parts[0] != _BLOCKS)


def short_name(name: str, names: Sequence[str]) -> str:
  """The last part of a whole name, or the whole where several configs end in that part."""
  last = name.rpartition("/")[2]
  return last if len(_ending_in(last, names)) == 1 else name


def file_and_form(reference: str) -> tuple[str, str | None]:
  """Splits FILE[:form]; a file of the whole name goes first, and one with ":" in its folders."""
  file, _, form = reference.rpartition(":")
  if user_path(reference).is_file() or not file:
    return reference, None
  if user_path(file).is_file():
    return file, form or None
  file, _, form = reference.partition(":")
  return file, form or None


def locate(reference: str) -> str:
  """Returns the config file that is meant by --config.

  Args:
    reference: a path, which counts first, or the name of a shipped config: "gpt_sotu" or with
      folders before it, "text/gpt_sotu", "pretrain/text/gpt_sotu".

  Raises:
    UserError: for a path or a name that does not exist, or a name that several configs have.
  """
  if (path := user_path(reference)).is_file():
    return str(path)
  names = shipped_names()
  if reference.endswith(".py"):
    raise UserError(f"--config: no file '{reference}'{_nearest_file(Path(reference), names)}")
  found = [reference] if reference in names else _ending_in(reference, names)
  if len(found) > 1:
    raise UserError(f"--config: '{reference}' is the name of several: {', '.join(found)}")
  if not found:
    choices = names if "/" in reference else [short_name(name, names) for name in names]
    raise UserError(
      f"--config: no file and no shipped config '{reference}'{nearest(reference, choices)}"
    )
  return str(shipped_folder() / f"{found[0]}.py")


@contextlib.contextmanager
def importable(file: Path) -> Iterator[None]:
  """Lets a config file import from `configs` while it is run, wherever it lies.

  `configs` is the folder of that name above the file, if there is one, and behind it the shipped
  folder: a copy of a shipped config finds the blocks that it imports, and a user's own blocks win.
  Afterwards sys.path and what was imported under the name `configs` are as they were before.

  Args:
    file: the absolute path of the config file.
  """
  shipped = shipped_folder().resolve()
  above = next((path for path in file.parents if path.name == PACKAGE), None)
  own = [] if above is None or file.is_relative_to(shipped) else [above]
  paths = [str(path.parent) for path in own]
  before = _take_imported()
  sys.path[:0] = paths
  try:
    _import_package([*own, shipped])
    yield
  finally:
    for path in paths:
      sys.path.remove(path)
    _take_imported()
    sys.modules.update(before)


def about(file: Path) -> About:
  """Reads the docstring of a config file, without running the file.

  Raises:
    ValueError: where it lacks one of "Command:", "Minutes:" and "Expected:".
  """
  text = docstring(file)
  found = dict(re.findall(rf"^({'|'.join(_FIELDS)}):\s+(.+(?:\n +.+)*)", text, flags=re.MULTILINE))
  missing = [name for name in _FIELDS if name not in found]
  if missing:
    raise ValueError(f"{file}: its docstring has no line '{missing[0]}: ...'")
  fields = [" ".join(found[name].replace("\\\n", " ").split()) for name in _FIELDS]
  return About(text.partition("\n")[0], *fields)


def docstring(file: Path) -> str:
  """The docstring of a config file, "" where there is none."""
  return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def _ending_in(reference: str, names: Sequence[str]) -> list[str]:
  return [name for name in names if f"/{name}".endswith(f"/{reference}")]


def _nearest_file(path: Path, names: Sequence[str]) -> str:
  """A hint at a file in the same folder, else at a shipped config of nearly that name."""
  beside = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
  hint = nearest(path.name, beside)
  if "did you mean" in hint:
    return hint
  shipped = nearest(path.stem, [short_name(name, names) for name in names])
  return shipped if "did you mean" in shipped or not hint else hint


def _take_imported() -> dict:
  """Removes `configs` and all below it from the imported modules, and returns them."""
  taken = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
  return {name: sys.modules.pop(name) for name in taken}


def _import_package(folders: Sequence[Path]) -> None:
  """Imports `configs` from several folders; of modules that two have the first one counts."""
  init = folders[0] / "__init__.py"
  if init.is_file():
    spec = importlib.util.spec_from_file_location(PACKAGE, init)
  else:
    spec = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
  spec.submodule_search_locations = [str(folder) for folder in folders]
  package = importlib.util.module_from_spec(spec)
  sys.modules[PACKAGE] = package
  if init.is_file():
    spec.loader.exec_module(package)
