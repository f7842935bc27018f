"""The values of a config.json of transformers, each checked as it is taken."""

import logging
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pretrainjax.errors import UserError
from pretrainjax.models.layers.mlp import Activation

Value = TypeVar("Value")
_log = logging.getLogger(__name__)
_MISSING = object()
# Ours, and what config.json may call the same function.
ACTIVATIONS: Mapping[str, Activation] = {
  "gelu": "gelu",
  "gelu_python": "gelu",
  "gelu_new": "gelu_tanh",
  "gelu_pytorch_tanh": "gelu_tanh",
  "gelu_fast": "gelu_tanh",
  "quick_gelu": "quick_gelu",
  "relu": "relu",
  "silu": "silu",
  "swish": "silu",
  "tanh": "tanh",
}
_THEIR_ACTIVATIONS = {"gelu_tanh": "gelu_new"}


def their_activation(name: str) -> str:
  """What config.json calls one of our activations."""
  return _THEIR_ACTIVATIONS.get(name, name)


class Fields:
  """The values of a config.json; a value of another type or range is refused by its name.

  Args:
    values: the content of the file.
    path: the path of the file, for messages.
    tensors: the names of the stored tensors, for what the file does not tell.
  """

  def __init__(
    self,
    values: Mapping[str, Any],
    path: Path | str = "config.json",
    tensors: Collection[str] = (),
  ):
    self.values, self.path, self.tensors = values, path, tensors

  def refused(self, name: str, expected: str) -> UserError:
    """The error of a value that is not what it should be."""
    found = self.values.get(name)
    return UserError(f"{self.path}: {name}: found {found!r:.200}, expected {expected}")

  def get(self, name: str, default: Any = _MISSING) -> Any:
    """A value as it is; null is as if it were not there."""
    found = self.values.get(name)
    if found is not None:
      return found
    if default is _MISSING:
      raise UserError(f"{self.path}: {name} is missing")
    return default

  def integer(self, name: str, default: Any = _MISSING, *, lowest: int = 1) -> int:
    """A whole number of at least `lowest` that could be a size."""
    found = self.get(name, default)
    if type(found) is not int or not lowest <= found < 1 << 31:
      raise self.refused(name, f"a whole number from {lowest} up to 2^31")
    return found

  def integers(self, name: str, default: Any = _MISSING) -> tuple[int, ...]:
    """A list of whole numbers above 0, each a size."""
    found = self.get(name, default)
    is_list = isinstance(found, (list, tuple)) and len(found) > 0
    if not is_list or any(type(one) is not int or not 0 < one < 1 << 31 for one in found):
      raise self.refused(name, "a list of whole numbers from 1 up to 2^31")
    return tuple(found)

  def number(self, name: str, default: Any = _MISSING, *, lowest: float = 0.0) -> float:
    """A finite number of at least `lowest`."""
    found = self.get(name, default)
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    if not is_number or not math.isfinite(found) or found < lowest:
      raise self.refused(name, f"a number of at least {lowest}")
    return float(found)

  def rate(self, name: str, default: Any = _MISSING) -> float:
    """A rate in [0, 1)."""
    found = self.number(name, default)
    if found >= 1:
      raise self.refused(name, "a rate in [0, 1)")
    return found

  def one_rate(self, *names: str, default: float) -> float:
    """The largest of several rates, where our model has one in their place; a line if they differ.

    Args:
      names: what config.json calls them.
      default: the rate of those that it does not name.
    """
    rates = {name: self.rate(name, default) for name in names}
    largest = max(rates.values())
    if min(rates.values()) < largest:
      said = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
      _log.warning("%s: ours has one rate for %s: %g is taken", self.path, said, largest)
    return largest

  def no_rate(self, name: str) -> None:
    """Tells of a rate above 0 that our model has no place for."""
    if (rate := self.rate(name, 0.0)) > 0:
      _log.warning("%s: %s: found %g, ours has none there: 0 is taken", self.path, name, rate)

  def flag(self, name: str, default: bool) -> bool:
    """True or false."""
    found = self.get(name, default)
    if not isinstance(found, bool):
      raise self.refused(name, "true or false")
    return found

  def choice(self, name: str, choices: Mapping[str, Value], default: Any = _MISSING) -> Value:
    """Our value for one of their words."""
    found = self.get(name, default)
    if not isinstance(found, str) or found not in choices:
      raise self.refused(name, f"what ours can be: {', '.join(choices)}")
    return choices[found]

  def activation(self, name: str, default: str) -> Activation:
    """An activation, by our name."""
    return self.choice(name, ACTIVATIONS, default)

  def must_be(self, name: str, *expected: Any) -> None:
    """Refuses a value that our model cannot express; the first of those expected is the default."""
    found = self.get(name, expected[0])
    if not any(found == one and type(found) is type(one) for one in expected):
      words = " or ".join(map(repr, expected))
      raise self.refused(name, f"{words}: our model has nothing else there")

  def inner(self, name: str) -> "Fields":
    """The values of a dictionary within; without any where it is missing."""
    found = self.get(name, {})
    if not isinstance(found, Mapping):
      raise self.refused(name, "a dictionary")
    return Fields(found, f"{self.path}: {name}")


def rope_theta(fields: Fields, kind: str | None = None, *, default: float, old: str) -> float:
  """The base of rotary wavelengths, as transformers 5 says it, or 4.

  Args:
    fields: the values of the config.json.
    kind: the kind of layers, where there are several ("full_attention").
    default: the base where nothing is said.
    old: what version 4 calls it.

  Raises:
    UserError: for stretched wavelengths, which our models do not have.
  """
  fields.must_be("rope_scaling", None, {})
  found = fields.inner("rope_parameters")
  if kind is not None and isinstance(found.values.get(kind), Mapping):
    found = found.inner(kind)
  found.must_be("rope_type", "default")
  found.must_be("type", "default")
  found.must_be("partial_rotary_factor", 1.0, 1)
  if "rope_theta" in found.values:
    return found.number("rope_theta", lowest=1.0)
  return fields.number(old, default, lowest=1.0)
