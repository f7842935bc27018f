"""Configs: plain data that names classes, and the way from there to objects.

A config file is Python with `get_config(arg=None)` that returns a ConfigDict. It names what to
build with `spec` (build it) or `recipe` (build a factory that still awaits `rngs`, for models),
and both write ALL arguments down, so that every one of them can be overridden by a flag, a
misspelt flag is caught, and the JSON saved beside a checkpoint rebuilds the encoder alone.
"""

import functools
import importlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from beartype.door import is_bearable
from ml_collections import ConfigDict, config_dict

from pretrainjax.errors import UserError, nearest

TARGET = "_target"
RECIPE = "_recipe"
# `build` imports from nowhere else: a config is data, also one that came with a checkpoint.
_ALLOWED = ("pretrainjax", "optax")
_AWAITED = ("self", "rngs")


def spec(target: Callable, **kwargs: Any) -> ConfigDict:
  """Names `target` with all its arguments; `build` then calls it.

  Args:
    target: a class or function of pretrainjax or optax.
    **kwargs: values that differ from its defaults: plain values, specs, or dicts of them.

  Returns:
    A ConfigDict of every argument and "_target", "module:Name".

  Raises:
    TypeError: for an argument that `target` lacks, or one without default that is not given.
  """
  parameters = _parameters(target)
  for name in kwargs:
    if name not in parameters:
      raise TypeError(f"{target.__name__} has no argument '{name}'{nearest(name, parameters)}")
  config = ConfigDict({TARGET: f"{target.__module__}:{target.__qualname__}"}, sort_keys=False)
  hints = hints_of(target)
  for name, parameter in parameters.items():
    value = kwargs.get(name, parameter.default)
    if value is inspect.Parameter.empty:
      raise TypeError(f"{target.__name__} needs argument '{name}'")
    config[name] = default_field(value, hints.get(name, Any))
  return config


def recipe(target: Callable, **kwargs: Any) -> ConfigDict:
  """Like `spec`, but `build` returns a factory that still awaits `rngs` (and nothing else)."""
  config = spec(target, **kwargs)
  config[RECIPE] = True
  return config


def build(config: Any, *, path: str = "config") -> Any:
  """Builds what a config names, inside out.

  Args:
    config: a ConfigDict from `spec` or `recipe`, or any plain value, which is returned.
    path: where `config` lies in the whole, for messages.

  Raises:
    UserError: for a target outside of pretrainjax and optax, an unknown or missing argument,
      a value of the wrong type, or one that the target refuses.
  """
  if isinstance(config, (tuple, list)):
    return type(config)(build(v, path=f"{path}[{i}]") for i, v in enumerate(config))
  if not isinstance(config, (Mapping, ConfigDict)):
    return config
  arguments = {k: build(config[k], path=f"{path}.{k}") for k in config if k not in (TARGET, RECIPE)}
  if TARGET not in config:
    return arguments
  target = resolve(config[TARGET], path)
  arguments = _checked(target, arguments, path)
  if config.get(RECIPE, False):
    return functools.partial(target, **arguments)
  try:
    return target(**arguments)
  except (ValueError, TypeError) as error:
    raise UserError(f"{path}: {one_line(error)}") from error


def _parameters(target: Callable) -> dict[str, inspect.Parameter]:
  kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
  # A class is asked through its constructor: NNX's metaclass hides the signature.
  callee = target.__init__ if inspect.isclass(target) else target
  parameters = inspect.signature(callee).parameters
  return {n: p for n, p in parameters.items() if n not in _AWAITED and p.kind not in kinds}


def hints_of(target: Callable) -> dict[str, Any]:
  """The annotations of what `target` takes, {} where they cannot be read."""
  # A dataclass's hints are on the class, another class's on its constructor.
  holder = target
  if inspect.isclass(target) and not hasattr(target, "__dataclass_fields__"):
    holder = target.__init__
  try:
    return typing.get_type_hints(holder)
  except NameError:  # optax names some types for the type checker only
    return {}


def default_field(value: Any, hint: Any) -> Any:
  """What a config holds for `value`.

  None under `X | None` becomes a typed placeholder, so that a flag can fill it and is checked.
  """
  if value is not None:
    return tuple(value) if isinstance(value, list) else value
  others = [h for h in typing.get_args(hint) if h is not types.NoneType]
  plain = [h for h in others if h in (int, float, str, bool)]
  if len(others) == 1 and plain:
    return config_dict.placeholder(plain[0])
  return None


def resolve(name: str, path: str) -> Callable:
  """The class or function that "module:Name" names, if it is one that a config may name."""
  module, _, attribute = name.partition(":")
  if module.split(".")[0] not in _ALLOWED or not attribute.isidentifier():
    allowed = " or ".join(_ALLOWED)
    raise UserError(f"{path}.{TARGET}: found '{name}', expected 'module:Name' of {allowed}")
  try:
    target = getattr(importlib.import_module(module), attribute)
  except (ImportError, AttributeError) as error:
    raise UserError(f"{path}.{TARGET}: '{name}' does not exist ({one_line(error)})") from error
  # A module's attribute may be something that it merely imports, such as `os`.
  home = getattr(target, "__module__", "").split(".")[0]
  if not callable(target) or home not in _ALLOWED:
    raise UserError(f"{path}.{TARGET}: '{name}' is not a class or function of {home or module}")
  return target


def _checked(target: Callable, arguments: dict[str, Any], path: str) -> dict[str, Any]:
  parameters, hints = _parameters(target), hints_of(target)
  for name in arguments:
    if name not in parameters:
      raise UserError(
        f"{path}.{name}: {target.__name__} has no such argument{nearest(name, parameters)}"
      )
  checked = {}
  for name, value in arguments.items():
    hint = hints.get(name, Any)
    if isinstance(value, int) and not isinstance(value, bool) and not is_bearable(value, hint):
      value = float(value)  # 1 is a fine float; 1.5 is no int
    if not is_bearable(value, hint):
      raise UserError(f"{path}.{name}: found {value!r}, expected {_say(hint, value)}")
    checked[name] = value
  return checked


def _say(hint: Any, value: Any) -> str:
  choices = typing.get_args(hint)
  if typing.get_origin(hint) is typing.Literal:
    return (
      "one of "
      + ", ".join(map(str, choices))
      + nearest(str(value), map(str, choices)).partition("; valid")[0]
    )
  return getattr(hint, "__name__", None) if inspect.isclass(hint) else str(hint)


def one_line(error: BaseException) -> str:
  """An exception's message without its line breaks."""
  return " ".join(str(error).split()) or type(error).__name__
