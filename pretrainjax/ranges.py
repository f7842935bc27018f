"""Ranges of numbers, written into the types of arguments: `dropout: Rate = 0.0`.

`build` checks the values of a config against them. For those who call a class in Python,
`check_ranges` does so in a dataclass, and `ranged` around the constructor of a network. Conditions
between several arguments are the business of the constructor.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any

# Of what JAX counts by: sizes, steps and ids are int32 there.
LARGEST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Range:
  """The finite numbers from `low` to `high`.

  Attributes:
    low: the lower end.
    high: the upper end.
    above: whether `low` itself is left out.
    below: whether `high` itself is left out.

  >>> 1 in Range(0, 1, below=True), 0 in Range(0, 1, below=True), math.nan in Range()
  (False, True, False)
  >>> Range(0, 1, below=True).expected(3), Range(1).expected(0), Range(0, above=True).expected(0)
  ('in [0, 1)', 'at least 1', 'above 0')
  """

  low: float | int = -math.inf
  high: float | int = math.inf
  above: bool = False
  below: bool = False

  def __contains__(self, value: float | int) -> bool:
    if not -math.inf < value < math.inf:
      return False
    is_low = value < self.low or (self.above and value == self.low)
    return not (is_low or value > self.high or (self.below and value == self.high))

  def expected(self, value: float | int) -> str:
    """What was expected in place of a number that lies outside."""
    if self.low == -math.inf and self.high == math.inf:
      return "finite"
    if self.high == LARGEST and value > self.high:
      return "below 2^31"
    if self.high in (math.inf, LARGEST):
      return f"above {self.low}" if self.above else f"at least {self.low}"
    return f"in {'(' if self.above else '['}{self.low}, {self.high}{')' if self.below else ']'}"


Finite = Annotated[float, Range()]
PositiveFloat = Annotated[float, Range(0, above=True)]
NonNegativeFloat = Annotated[float, Range(0)]
# Ends of [0, 1] that a share or a probability may have.
Fraction = Annotated[float, Range(0, 1)]
PositiveFraction = Annotated[float, Range(0, 1, above=True)]
OpenFraction = Annotated[float, Range(0, 1, above=True, below=True)]
# In [0, 1): of dropout, of decays.
Rate = Annotated[float, Range(0, 1, below=True)]

PositiveInt = Annotated[int, Range(1, LARGEST)]
NonNegativeInt = Annotated[int, Range(0, LARGEST)]
# Of what is made one by one in Python, such as layers.
FewInt = Annotated[int, Range(1, 10_000)]
Seed = Annotated[int, Range(0, 2**63 - 1)]


def bare(hint: Any) -> Any:
  """An annotation without what stands in `Annotated`: the type `float | None` of `Rate | None`."""
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin is Annotated:
    return bare(arguments[0])
  if origin in (typing.Union, types.UnionType):
    return functools.reduce(lambda one, other: one | other, map(bare, arguments))
  if origin is tuple:
    return tuple[tuple(bare(a) for a in arguments)]
  return hint


def check_ranges(holder: Any) -> None:
  """Refuses a dataclass with a number outside of the range that its field's type names.

  Raises:
    ValueError: "name=value: expected RANGE".
  """
  for name, hint in _annotations(type(holder)).items():
    value = getattr(holder, name, None)
    if (expected := misfit(value, hint)) is not None:
      raise ValueError(f"{name}={value}: expected {expected}")


def misfit(value: Any, hint: Any) -> str | None:
  """The range, in words, that a number or one in a tuple should have, and has not; None if none."""
  origin, arguments = typing.get_origin(hint), typing.get_args(hint)
  if origin is Annotated:
    ranges = [extra for extra in arguments[1:] if isinstance(extra, Range)]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    outside = next((r.expected(value) for r in ranges if is_number and value not in r), None)
    return outside if outside is not None else misfit(value, arguments[0])
  if origin in (typing.Union, types.UnionType):
    # A member that takes the value settles it; else the range that a number missed is told.
    found = [misfit(value, m) for m in arguments if _could_be(value, bare(m))]
    return None if None in found else next(iter(found), None)
  if origin is tuple and isinstance(value, tuple):
    hints = arguments[:1] * len(value) if arguments[-1:] == (...,) else arguments
    found = (misfit(one, h) for one, h in zip(value, hints, strict=False))
    return next((one for one in found if one is not None), None)
  return None


def _could_be(value: Any, plain: Any) -> bool:
  """Whether a value is meant for this member of a union, by its kind."""
  kind = typing.get_origin(plain) or plain
  if kind in (int, float):
    return isinstance(value, (int, float)) and not isinstance(value, bool)
  return kind is Any or (isinstance(kind, type) and isinstance(value, kind))


@functools.cache
def _annotations(holder: Any) -> dict[str, Any]:
  return typing.get_type_hints(holder, include_extras=True)


def ranged(init: Callable[..., None]) -> Callable[..., None]:
  """Lets a constructor with keyword arguments refuse numbers outside of their annotated ranges.

  Raises (when it is called):
    ValueError: "name=value: expected RANGE".
  """

  @functools.wraps(init)
  def checked(self: Any, **arguments: Any) -> None:
    hints = _annotations(init)
    for name, value in arguments.items():
      if (expected := misfit(value, hints.get(name))) is not None:
        raise ValueError(f"{name}={value}: expected {expected}")
    init(self, **arguments)

  return checked
