"""Configs as text: the config file, the flags that override it, JSON and back, differences."""

import importlib.util
import json
import math
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beartype.door import is_bearable
from ml_collections import ConfigDict, FieldReference, config_dict

from pretrainjax.config.allowed import ANYTHING, CONFIG_FILE, TARGET, resolve
from pretrainjax.config.moved import argument_today, today
from pretrainjax.config.objects import RECIPE, hints_of, typed
from pretrainjax.config.shipped import importable, locate
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
  *parents, last = key.split(".")
  if parents[:1] == ["changes"]:
    _admit_change(config, parents, last)
  node = config
  for depth, name in enumerate([*parents, last]):
    if not isinstance(node, ConfigDict) or name not in node or name in (TARGET, RECIPE):
      choices = (
        [k for k in node if k not in (TARGET, RECIPE)] if isinstance(node, ConfigDict) else []
      )
      where = ".".join(["config", *key.split(".")[:depth]])
      raise UserError(f"{flag}: {where} has no key '{name}'{nearest(name, choices)}")
    parent, node = node, node[name]
  value = _literal(text)
  if isinstance(value, bool) and isinstance(node, (int, float)) and not isinstance(node, bool):
    raise UserError(f"{flag}: found {text!r} (bool), expected {type(node).__name__}")
  if isinstance(node, str) and not isinstance(value, str) and not _may_be(value, parent, last):
    value = text
  if isinstance(node, tuple) and value is not None:
    value = tuple(value) if isinstance(value, (tuple, list)) else (value,)
  try:
    parent[last] = value
  except (TypeError, ValueError):
    kind = type(node).__name__
    if node is None:
      kind = parent.get_type(last).__name__
    message = f"{flag}: found {text!r} ({type(value).__name__}), expected {kind}"
    raise UserError(message) from None


def _admit_change(config: ConfigDict, parents: list[str], name: str) -> None:
  """Makes room for any argument in `config.changes`; which ones there are, the checkpoint knows."""
  if "init" in config and "changes" not in config:
    config.changes = ConfigDict()
  changes = config.get("changes")
  if not isinstance(changes, ConfigDict) or name.startswith("_") or len(parents) > 2:
    return
  for part in parents[1:]:
    if part not in changes:
      changes[part] = ConfigDict()
    changes = changes[part]
  if isinstance(changes, ConfigDict) and name not in changes:
    changes[name] = config_dict.placeholder(object)


def _may_be(value: Any, parent: ConfigDict, name: str) -> bool:
  """Whether a word of a config may become `value`; none stays a word where it is a choice."""
  if value is not None or TARGET not in parent:
    return value is None
  return is_bearable(
    None, hints_of(resolve(parent[TARGET], "config", allow=ANYTHING)).get(name, Any)
  )


def load_config(reference: str, overrides: Mapping[str, str] | None = None) -> ConfigDict:
  """Runs a config file and applies overrides in order.

  Args:
    reference: `FILE` or `FILE:arg`, where FILE may be the name of a shipped config.
    overrides: text by dotted key.

  Raises:
    UserError: for a missing file, one without `get_config` or that fails, or a bad override.
  """
  file, _, arg = reference.partition(":")
  file = locate(file)
  try:
    config = _run_file(file, arg or None)
  except UserError:
    raise
  except Exception as error:  # a config file is the user's own code
    where = f"{file}:{arg}" if arg else file
    reason = f"{type(error).__name__}: {one_line(error)}"
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


def _line(error: Exception, file: str) -> int:
  """Where in a config file an exception came from."""
  if isinstance(error, SyntaxError) and error.filename == file:
    return error.lineno or 1
  frames = traceback.extract_tb(error.__traceback__)
  return next((f.lineno for f in reversed(frames) if f.filename == file), 1)


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
# Flags read better than Python where they differ.
_WORDS = {"true": True, "false": False, "none": None, "null": None}


def _literal(text: str) -> Any:
  if text.lower() in _WORDS:
    return _WORDS[text.lower()]
  if re.fullmatch(r"[+-]?[0-9]{1,40}", text):
    return int(text)
  try:
    number = float(text)
    return number if math.isfinite(number) else text
  except ValueError:
    pass
  if text.count("(") + text.count("[") <= 1 and ("," in text or text.startswith("(")):
    parts = [p.strip().strip("'\"") for p in text.strip("()[] ").split(",")]
    return tuple(_literal(p) for p in parts if p)
  return text.strip("'\"")


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
