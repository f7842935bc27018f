"""Ranges of numbers in the types of arguments."""

import dataclasses
import inspect
import math

import pytest

from pretrainjax.ranges import (
  Finite,
  Fraction,
  PositiveFloat,
  PositiveInt,
  Range,
  Rate,
  bare,
  check_ranges,
  ranged,
)


@dataclasses.dataclass(frozen=True)
class _Options:
  rate: Rate = 0.0
  count: PositiveInt | None = None
  sizes: tuple[PositiveInt, ...] = (1,)
  ends: tuple[Fraction, Finite] = (0.0, 0.0)
  anything: float = math.nan

  def __post_init__(self):
    check_ranges(self)


@pytest.mark.parametrize(
  ("options", "said"),
  [
    ({"rate": 1.0}, r"rate=1.0: expected in \[0, 1\)"),
    ({"rate": math.nan}, "rate=nan"),
    ({"count": 0}, "count=0: expected at least 1"),
    ({"count": 2**31}, r"count=2147483648: expected below 2\^31"),
    ({"sizes": (3, -1)}, r"sizes=\(3, -1\): expected at least 1"),
    ({"ends": (2.0, 0.0)}, r"ends=\(2.0, 0.0\): expected in \[0, 1\]"),
    ({"ends": (0.0, math.inf)}, "expected finite"),
  ],
)
def test_a_dataclass_refuses_what_is_outside(options, said):
  with pytest.raises(ValueError, match=said):
    _Options(**options)


def test_what_lies_inside_is_taken():
  assert _Options(rate=0.5, count=3, sizes=(), ends=(1.0, -7.0)).count == 3


class _Network:
  @ranged
  def __init__(self, *, rate: Rate, width: PositiveInt = 3, name: str = ""):
    self.rate, self.width, self.name = rate, width, name


def test_a_constructor_refuses_what_is_outside():
  assert _Network(rate=0.9).width == 3 and _Network(rate=0.0, name="a").name == "a"
  with pytest.raises(ValueError, match=r"rate=1.0: expected in \[0, 1\)"):
    _Network(rate=1.0)
  with pytest.raises(ValueError, match="width=0: expected at least 1"):
    _Network(rate=0.5, width=0)
  with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'rate'"):
    _Network(width=1)
  assert list(inspect.signature(_Network).parameters) == ["rate", "width", "name"]


def test_ends_belong_to_a_range_unless_they_are_left_out():
  for number, inside in ((0, False), (0.0, False), (1e-9, True), (1e300, True), (math.inf, False)):
    assert (number in Range(0, above=True)) is inside
  assert 1 in Range(0, 1) and 1 not in Range(0, 1, below=True)
  assert -math.inf not in Range() and 10**400 in Range()


def test_the_type_without_its_range():
  assert bare(Rate) is float and bare(Rate | None) == float | None
  assert bare(tuple[Rate, ...]) == tuple[float, ...] and bare(PositiveFloat | int) == float | int
