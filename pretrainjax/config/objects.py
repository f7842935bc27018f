"""Configs: plain data that names classes, and the way from there to objects.

A config file is Python with `get_config(arg=None)` that returns a ConfigDict. It names what to
build with `spec` (build it) or `recipe` (build a factory that still awaits `rngs`, for models),
and both write ALL arguments down, so that every one of them can be overridden by a flag, a
misspelt flag is caught, and the JSON saved beside a checkpoint rebuilds the encoder alone.
"""

import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from pretrainjax.config.allowed import ANYTHING, TARGET, resolve
from pretrainjax.config.values import Unfit, fitted
from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.ranges import bare

RECIPE = "_recipe"
_AWAITED = ("self", "rngs")


class _AnyConfigDict(type):
  """Of a class of configs in whose place any ConfigDict may stand, as one that was stored."""

  def __instancecheck__(cls, instance: object) -> bool:
    return isinstance(instance, ConfigDict)


class Arguments(ConfigDict, metaclass=_AnyConfigDict):
  """The arguments that `spec` writes down, in which a truth value never becomes a number.

  A plain ConfigDict makes 1.0 of True where a float was. Here it stays, and `build` refuses it.
  """

  def __setitem__(self, key: str, value: Any) -> None:
    if isinstance(value, bool) and key in self._fields and self.get_type(key) in (int, float):
      hints = hints_of(resolve(self[TARGET], "config", allow=ANYTHING)) if TARGET in self else {}
      if key not in hints:
        raise _no_number(key, value, self.get_type(key))
      self._fields[key] = value
      return
    super().__setitem__(key, value)


def _no_number(key: str, value: bool, kind: type) -> TypeError:
  """What is raised for a truth value in a number's place that no annotation tells of."""
  return TypeError(f"{key}: found {value} (bool), expected {kind.__name__}")


def spec(target: Callable, /, **kwargs: Any) -> ConfigDict:
  """Names `target` with all its arguments; `build` then calls it.

  Args:
    target: a class of pretrainjax, a class or function of optax or of any other package.
    **kwargs: values that differ from its defaults: plain values, specs, or dicts of them.

  Returns:
    A ConfigDict of every argument and "_target", "module:Name".

  Raises:
    TypeError: for an argument that `target` lacks, one without default that is not given, or a
      truth value in a number's place where `target` has no annotation that `build` could check.
  """
  parameters = _parameters(target)
  for name in kwargs:
    if name not in parameters:
      raise TypeError(f"{target.__name__} has no argument '{name}'{nearest(name, parameters)}")
  config = Arguments({TARGET: f"{target.__module__}:{target.__qualname__}"}, sort_keys=False)
  hints = hints_of(target)
  for name, parameter in parameters.items():
    value = kwargs.get(name, parameter.default)
    if value is inspect.Parameter.empty:
      raise TypeError(f"{target.__name__} needs argument '{name}'")
    if name not in hints and isinstance(value, bool) and type(parameter.default) in (int, float):
      raise _no_number(name, value, type(parameter.default))
    config[name] = default_field(value, hints.get(name, Any))
  return config


def recipe(target: Callable, /, **kwargs: Any) -> ConfigDict:
  """Names `target` as `spec` does, to be called by `build` later, with `rngs` and nothing else."""
  config = spec(target, **kwargs)
  config[RECIPE] = True
  return config


def build(config: Any, *, path: str = "config", allow: tuple[str, ...] = ()) -> Any:
  """Builds what a config names, inside out.

  Args:
    config: a ConfigDict from `spec` or `recipe`, or any plain value, which is returned.
    path: the place of `config` in the whole, for messages.
    allow: packages whose classes it may name beside ours, see `allowed.resolve`.

  Raises:
    UserError: for a target that configs may not name, an unknown or missing argument, a value of
      the wrong type, or one that the target refuses.
  """
  if isinstance(config, (tuple, list)):
    return type(config)(build(v, path=f"{path}[{i}]", allow=allow) for i, v in enumerate(config))
  if not isinstance(config, (Mapping, ConfigDict)):
    return config
  names = [k for k in config if k not in (TARGET, RECIPE)]
  arguments = {k: build(config[k], path=f"{path}.{k}", allow=allow) for k in names}
  if TARGET not in config:
    return arguments
  target = resolve(config[TARGET], path, allow=allow)
  arguments = _checked(target, arguments, path)
  if config.get(RECIPE, False):
    return functools.partial(target, **arguments)
  try:
    made = target(**arguments)
  except (ValueError, TypeError, OverflowError) as error:
    raise UserError(f"{path}: {one_line(error)}") from error
  if hasattr(made, "config_key"):  # it tells mistakes later, too, by the flag that sets it right
    object.__setattr__(made, "config_key", path)
  return made


def typed(config: Any, *, path: str = "config", allow: tuple[str, ...] = ()) -> Any:
  """Gives a config that was read as plain values the types that `spec` gives it today.

  None fields get their types, and arguments that a class did not have yet their defaults.

  Args:
    config: a ConfigDict, or any value in one.
    path: the place of the values in the whole, for messages.
    allow: other packages whose classes may be named, see `build`.

  Raises:
    TargetError: for a target that it may not name, or that is not there.
  """
  if isinstance(config, (tuple, list)):
    return type(config)(typed(v, path=f"{path}[{i}]", allow=allow) for i, v in enumerate(config))
  if not isinstance(config, (Mapping, ConfigDict)):
    return config
  fields = {key: typed(config[key], path=f"{path}.{key}", allow=allow) for key in config}
  if TARGET in fields:
    target = resolve(fields[TARGET], path, allow=allow)
    hints, parameters = hints_of(target), _parameters(target)
    fields = {name: p.default for name, p in parameters.items() if _has_default(p)} | fields
    # In the order of the file, and what is new behind.
    order = [*config, *(name for name in fields if name not in config)]
    fields = {name: default_field(fields[name], hints.get(name, Any)) for name in order}
  return ConfigDict(fields, sort_keys=False)


def seed_of(config: ConfigDict) -> int:
  """The seed that a config sets.

  Raises:
    UserError: for one that no random generator takes.
  """
  seed = config.get("seed")
  if type(seed) is not int or not 0 <= seed < 1 << 63:
    raise UserError(f"--config.seed: found {seed}, expected at least 0, and below 2^63")
  return seed


def _parameters(target: Callable) -> dict[str, inspect.Parameter]:
  kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
  # A class is asked through its constructor: NNX's metaclass hides the signature.
  callee = target.__init__ if inspect.isclass(target) else target
  parameters = inspect.signature(callee).parameters
  return {n: p for n, p in parameters.items() if n not in _AWAITED and p.kind not in kinds}


def _has_default(parameter: inspect.Parameter) -> bool:
  return parameter.default is not inspect.Parameter.empty


def hints_of(target: Callable) -> dict[str, Any]:
  """The annotations of what `target` takes, ranges included, {} where they cannot be read."""
  # A dataclass's hints are on the class, another class's on its constructor.
  holder = target
  if inspect.isclass(target) and not hasattr(target, "__dataclass_fields__"):
    holder = target.__init__
  try:
    return typing.get_type_hints(holder, include_extras=True)
  except NameError:  # optax names some types for the type checker only
    return {}


def default_field(value: Any, hint: Any) -> Any:
  """The form in which a config holds `value`.

  None under `X | None` becomes a typed placeholder, so that a flag can fill it and is checked; an
  object, such as a default that is a frozen dataclass, becomes its spec.
  """
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    fields = [f.name for f in dataclasses.fields(value) if f.init]
    return spec(type(value), **{name: getattr(value, name) for name in fields})
  if value is not None:
    return tuple(value) if isinstance(value, list) else value
  others = [h for h in typing.get_args(bare(hint)) if h is not types.NoneType]
  plain = [h for h in others if h in (int, float, str, bool)]
  if len(others) == 1 and plain:
    return config_dict.placeholder(plain[0])
  return None


def _checked(target: Callable, arguments: dict[str, Any], path: str) -> dict[str, Any]:
  parameters, hints = _parameters(target), hints_of(target)
  for name in arguments:
    if name not in parameters:
      raise UserError(
        f"{path}.{name}: {target.__name__} has no such argument{nearest(name, parameters)}"
      )
  checked = {}
  for name, value in arguments.items():
    try:
      checked[name] = fitted(value, hints.get(name, Any))
    except Unfit as error:
      raise UserError(f"{path}.{name}: found {value!r}, expected {error}") from error
  return checked
