"""Stored configs and arguments that classes have gained since."""

import inspect
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.allowed import TARGET, resolve
from pretrainjax.config.objects import default_field, hints_of
from pretrainjax.errors import UserError


def completed(config: ConfigDict) -> ConfigDict:
  """A copy in which each object has all arguments of its class, new ones at their defaults.

  A new argument's default is what older code did, so that a run made before it had that value. An
  object whose class may not be named, or is gone, stays as it is.

  Args:
    config: as it was stored.
  """
  found = ConfigDict(sort_keys=False)
  for key, value in config.items():
    found[key] = _value(value)
  if isinstance(config.get(TARGET), str):
    for name, value in _defaults(config[TARGET]).items():
      if name not in found:
        found[name] = value
  return found


def _value(value: Any) -> Any:
  if isinstance(value, ConfigDict):
    return completed(value)
  if isinstance(value, (tuple, list)):
    return type(value)(_value(item) for item in value)
  return value


def _defaults(name: str) -> Mapping[str, Any]:
  """The arguments of "module:Name" that have a default, as a config holds them."""
  try:
    target = resolve(name, "config")
  except UserError:
    return {}
  hints = hints_of(target)
  callee = target.__init__ if inspect.isclass(target) else target
  parameters = inspect.signature(callee).parameters
  return {
    key: default_field(p.default, hints.get(key, Any))
    for key, p in parameters.items()
    if p.default is not inspect.Parameter.empty
  }
