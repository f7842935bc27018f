"""Configs as text: the config file, the flags that override it, JSON and back, differences."""

import importlib.util
import json
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, FieldReference, config_dict

from pretrainjax.config.allowed import ANYTHING, CONFIG_FILE, TARGET, TargetError, resolve
from pretrainjax.config.follow import following
from pretrainjax.config.moved import MOVED, argument_today, today
from pretrainjax.config.objects import RECIPE, hints_of, typed
from pretrainjax.config.shipped import file_and_form, importable, locate
from pretrainjax.config.values import Unfit, fitted, is_none, value_of
from pretrainjax.errors import UserError, nearest, one_line


def override(config: ConfigDict, key: str, text: str) -> None:
  """Sets one value from a flag, `--config.KEY=TEXT`.

  Args:
    config: the config, which is changed in place.
    key: the dotted path of the value, "optimizer.learning_rate".
    text: a Python literal, or a bare string.

  Raises:
    UserError: for a key that does not exist or a value of another type than it holds.
  """
  flag = f"--config.{key}"
  _admit_change(config, key)
  parent, name = _place(config, key)
  hint = _annotation(parent, name)
  if is_none(text) and (isinstance(parent[name], ConfigDict) or _may_be_open(config, key)):
    with parent.ignore_type():
      parent[name] = None  # what has to be there is told when it is built
    return
  value = value_of(text, _from_value(parent, name) if hint is None else hint)
  found = f"found {text!r} ({type(value).__name__})"
  if (keys := _keys(parent[name])) and value is not None:
    raise UserError(f"{flag}: {found}, expected a flag of its own for each of {', '.join(keys)}")
  try:
    if hint is None:
      _set(parent, name, value)
    else:
      with parent.ignore_type():  # the annotation may take values of several types
        parent[name] = fitted(value, hint)
  except Unfit as error:
    raise UserError(f"{flag}: {found}, expected {error}") from None


def _place(config: ConfigDict, key: str) -> tuple[ConfigDict, str]:
  """The part of a config that a dotted key lies in, and its name there."""
  *parents, last = key.split(".")
  node = parent = config
  for depth, name in enumerate([*parents, last]):
    choices = _keys(node)
    if name not in choices:
      where = ".".join(["config", *key.split(".")[:depth]])
      raise UserError(f"--config.{key}: {where} has no key '{name}'{nearest(name, choices)}")
    parent, node = node, node[name]
  return parent, last


def _may_be_open(config: ConfigDict, key: str) -> bool:
  """Whether a value follows from others, or from the data, where none is given."""
  return any(argument.key == key for argument in following(config, allow=ANYTHING))


def _admit_change(config: ConfigDict, key: str) -> None:
  """Makes room for any argument in `config.changes`; which ones there are, the checkpoint knows."""
  *places, name = key.split(".")
  first, parts = "".join(places[:1]), places[1:]
  if first != "changes" or "init" not in config or name.startswith("_") or len(parts) > 1:
    return
  changes = config
  for part in (first, *parts):
    if changes.get(part) is None:
      changes[part] = ConfigDict()
    changes = changes[part]
  if isinstance(changes, ConfigDict) and name not in changes:
    changes[name] = config_dict.placeholder(object)


def _keys(node: Any) -> list[str]:
  """The keys of a part of a config that flags may set."""
  return [k for k in node if k not in (TARGET, RECIPE)] if isinstance(node, ConfigDict) else []


def _annotation(parent: ConfigDict, name: str) -> Any:
  """How the class that a part of a config names annotates an argument; None where nothing does."""
  if TARGET not in parent:
    return None
  try:
    return hints_of(resolve(parent[TARGET], "config", allow=ANYTHING)).get(name)
  except TargetError:  # `build` will say it
    return None


def _from_value(parent: ConfigDict, name: str) -> Any:
  """An annotation that the value of today fits, for what no class annotates."""
  node = parent[name]
  if isinstance(node, tuple):
    is_words = node and all(isinstance(value, str) for value in node)
    return tuple[str, ...] | None if is_words else tuple[Any, ...] | None
  kind = parent.get_type(name) if node is None else type(node)
  if kind is object and name == "init":  # names runs, which may look like numbers or tuples
    return str | None
  return kind | None if kind in (str, int, float, bool) else Any


def _set(parent: ConfigDict, name: str, value: Any) -> None:
  """Sets what no class annotates: a value of the type that is there."""
  kind = parent.get_type(name)
  if isinstance(value, bool) and kind in (int, float):
    raise Unfit(kind.__name__)
  try:
    parent[name] = value
  except (TypeError, ValueError):
    raise Unfit(kind.__name__) from None


def load_config(reference: str, overrides: Mapping[str, str] | None = None) -> ConfigDict:
  """Runs a config file and applies overrides in order.

  Args:
    reference: `FILE` or `FILE:arg`, where FILE may be the name of a shipped config.
    overrides: text by dotted key.

  Raises:
    UserError: for a missing file, one without `get_config` or that fails, or a bad override.
  """
  file, arg = file_and_form(reference)
  file = locate(file)
  try:
    config = _run_file(file, arg)
  except UserError:
    raise
  except Exception as error:  # a config file is the user's own code
    where = f"{file}:{arg}" if arg else file
    reason = f"{type(error).__name__}: {one_line(error)}{_moved(error)}"
    raise UserError(f"--config: '{where}' fails at line {_line(error, file)}: {reason}") from error
  if not isinstance(config, ConfigDict):
    found = type(config).__name__
    raise UserError(f"--config: get_config() of '{file}' returns {found}, expected a ConfigDict")
  for key, text in (overrides or {}).items():
    override(config, key, text)
  return config


def _run_file(file: str, arg: str | None) -> Any:
  """What a config file's `get_config` returns."""
  loader = importlib.util.spec_from_file_location(CONFIG_FILE, file)
  module = importlib.util.module_from_spec(loader)
  with importable(Path(file).resolve()):
    loader.loader.exec_module(module)
    if not hasattr(module, "get_config"):
      raise UserError(f"--config: '{file}' defines no get_config(arg=None)")
    return module.get_config(arg)


def _moved(error: Exception) -> str:
  """A hint where a config file imports a module of ours by its old name."""
  old = error.name if isinstance(error, ModuleNotFoundError) else None
  names = [name for name in MOVED if f"{name.partition(':')[0]}.".startswith(f"{old}.")]
  return f"; it is in {today(names[0]).partition(':')[0]} now" if old and names else ""


def _line(error: Exception, file: str) -> int:
  """Where in a config file an exception came from."""
  file = os.path.realpath(file)  # a frame has the absolute path, the user's may be relative
  if isinstance(error, SyntaxError) and os.path.realpath(error.filename or "") == file:
    return error.lineno or 1
  frames = traceback.extract_tb(error.__traceback__)
  return next((f.lineno for f in reversed(frames) if os.path.realpath(f.filename) == file), 1) or 1


def to_json(config: ConfigDict) -> str:
  """The config as JSON, keys in order of definition; tuples are marked, to come back as tuples."""
  return json.dumps(_plain(config), indent=2)


def from_json(text: str, *, allow: tuple[str, ...] = ()) -> ConfigDict:
  """The inverse of `to_json`; types of None fields are restored from what the targets say.

  Args:
    text: may come from a stranger.
    allow: packages whose classes it may name beside ours, see `allowed.resolve`.

  Raises:
    UserError: for whatever `to_json` does not write; a TargetError for a class that it may not
      name, or that is not there.
  """
  config = read_json(text)
  try:
    return typed(config, allow=allow)
  except (ValueError, TypeError, AttributeError, RecursionError) as error:
    raise UserError(f"no config as it is saved: {one_line(error)}") from error


def read_json(text: str) -> ConfigDict:
  """A stored config as plain values, classes by their names of today; none is looked for.

  Raises:
    UserError: for whatever `to_json` does not write; it may come from a stranger.
  """
  try:
    config = _unplain(json.loads(text))
  except (ValueError, TypeError, AttributeError, RecursionError) as error:
    raise UserError(f"no config as it is saved: {one_line(error)}") from error
  if not isinstance(config, ConfigDict):
    raise UserError(f"no config as it is saved: found a {type(config).__name__}, expected a dict")
  return config


def flatten(config: ConfigDict, prefix: str = "") -> dict[str, Any]:
  """Dotted leaf keys and their values, targets included."""
  flat = {}
  for key in config:
    value = config[key]
    if isinstance(value, ConfigDict):
      flat.update(flatten(value, f"{prefix}{key}."))
    else:
      flat[f"{prefix}{key}"] = value
  return flat


def value_lines(config: ConfigDict, defaults: ConfigDict) -> list[str]:
  """The values of a config as lines "  key = value", and one line for each class that is named.

  A value that differs from that of `defaults` is marked by "*", with the other one behind it.
  """
  before, lines = flatten(defaults), []
  for key, value in flatten(config).items():
    *parents, name = key.split(".")
    if name == TARGET:
      lines.append(f"  {'.'.join(parents)}: {value}")
    elif not name.startswith("_"):
      was = before.get(key, "(absent)")
      same = was == value
      lines.append(f"{' ' if same else '*'} {key} = {value!r}{'' if same else f'  (was {was!r})'}")
  return lines


def difference(old: ConfigDict, new: ConfigDict) -> list[str]:
  """The values in which two configs differ, as lines "key: old -> new"."""
  a, b = flatten(old), flatten(new)
  keys = list(dict.fromkeys([*a, *b]))
  absent = "(absent)"
  same = object()
  return [
    f"{k}: {a.get(k, absent)} -> {b.get(k, absent)}"
    for k in keys
    if a.get(k, same) != b.get(k, same)
  ]


_DEEPEST = 64  # ours have 6 levels; whoever walks through a config recurses


def _plain(value: Any) -> Any:
  if isinstance(value, FieldReference):
    value = value.get()
  if isinstance(value, (ConfigDict, Mapping)):
    return {k: _plain(value[k]) for k in value}
  if isinstance(value, tuple):
    return {"_tuple": [_plain(v) for v in value]}
  if value is None or isinstance(value, (bool, int, float, str)):
    return value
  raise UserError(f"config: found {value!r}, expected plain values: numbers, words, tuples, dicts")


def _unplain(value: Any, depth: int = 0) -> Any:
  if depth > _DEEPEST:
    raise ValueError(f"more than {_DEEPEST} levels")
  if not isinstance(value, dict):
    return value
  if set(value) == {"_tuple"}:
    return tuple(_unplain(v, depth + 1) for v in value["_tuple"])
  fields = {key: _unplain(v, depth + 1) for key, v in value.items()}
  if isinstance(fields.get(TARGET), str):
    name = today(fields[TARGET])
    fields = {argument_today(name, key): v for key, v in fields.items()} | {TARGET: name}
  return ConfigDict(fields, sort_keys=False)
