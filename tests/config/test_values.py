"""What values annotations take, and what the text of a flag means for them."""

from collections.abc import Mapping
from typing import Any, Literal

import pytest

from pretrainjax.config.values import Unfit, fitted, literal, value_of
from pretrainjax.ranges import PositiveInt, Rate


@pytest.mark.parametrize(
  ("value", "hint", "result"),
  [
    (1, float, 1.0),
    (1, float | None, 1.0),
    (None, float | None, None),
    ((0.2, 1), tuple[float, float], (0.2, 1.0)),
    ((0, 1, 2), tuple[float, ...], (0.0, 1.0, 2.0)),
    ((1, 2.5), tuple[float | int, ...], (1, 2.5)),
    (((1, 2), (3, 4)), tuple[tuple[float, float], ...], ((1.0, 2.0), (3.0, 4.0))),
    (True, bool, True),
    (True, Any, True),
    (28, int | tuple[int, int], 28),
    ((28, 14), int | tuple[int, int], (28, 14)),
    (1, Literal[1, -1], 1),
    (0, Rate, 0.0),
    ((0, 0.5), tuple[Rate, ...], (0.0, 0.5)),
    (7, PositiveInt | None, 7),
  ],
)
def test_a_value_becomes_what_is_wanted(value, hint, result):
  found = fitted(value, hint)
  assert (found, repr(found)) == (result, repr(result))


@pytest.mark.parametrize(
  ("value", "hint", "expected"),
  [
    (True, float, "float"),
    (True, int, "int"),
    (True, float | None, "float | None"),
    ((0.5, True), tuple[float, float], r"tuple\[float, float\]"),
    ((1, False), tuple[int, ...], r"tuple\[int, ...\]"),
    (1.5, int, "int"),
    ("1", float, "float"),
    (10**400, float, "float"),
    ((0.5,), tuple[float, float], r"tuple\[float, float\]"),
    ([0.5, 1.0], tuple[float, float], r"tuple\[float, float\]"),
    ("maen", Literal["cls", "mean"], "one of cls, mean; did you mean 'mean'"),
    (1, Rate, r"in \[0, 1\)"),
    (True, Rate, "float"),
    (float("nan"), Rate | None, r"in \[0, 1\)"),
    (float("inf"), Rate, r"in \[0, 1\)"),
    (0, PositiveInt, "at least 1"),
    (1 << 31, PositiveInt, "below 2.31"),
    ((0.5, 3), tuple[Rate, ...], r"in \[0, 1\)"),
    ((0, 5), PositiveInt | tuple[PositiveInt, PositiveInt], "at least 1"),
  ],
)
def test_any_other_value_is_refused(value, hint, expected):
  with pytest.raises(Unfit, match=f"^{expected}"):
    fitted(value, hint)


@pytest.mark.parametrize(
  ("text", "hint", "value"),
  [
    ("20241127", str | None, "20241127"),
    ("123", str, "123"),
    ("true", str | None, "true"),
    ("1e-3", str | None, "1e-3"),
    ("W/learning_rate=1e-3,scale=_0.2,1.0_", str | None, "W/learning_rate=1e-3,scale=_0.2,1.0_"),
    ("(a, b)", str | None, "(a, b)"),
    ("it's", str | None, "it's"),
    ("None", str | None, None),
    ("null", str | None, None),
    ("'none'", str | None, "none"),
    ("none", str, "none"),
    ("none", Literal["none", "full"], "none"),
    ("none", Literal["none"] | None, "none"),
    ("-1", Literal[1, -1], -1),
    ("a,b", str | Mapping[str, float], "a,b"),
    ("(0.2,1)", tuple[float, float], (0.2, 1)),
    ("0.2, 1", tuple[float, float], (0.2, 1)),
    ("1", tuple[int, ...], (1,)),
    ("1,20241127", tuple[str, ...], ("1", "20241127")),
    ("('*/a', b)", tuple[str, ...], ("*/a", "b")),
    ("()", tuple[str, ...], ()),
    ("28", int | tuple[int, int], 28),
    ("28,14", int | tuple[int, int], (28, 14)),
    ("3", Rate | None, 3),
    ("none", Rate | None, None),
    ("3", str | float, 3),
    ("x", str | float, "x"),
    ("false", Any, False),
    ("0.5", Any, 0.5),
  ],
)
def test_text_is_read_as_what_is_wanted(text, hint, value):
  found = value_of(text, hint)
  assert (found, type(found)) == (value, type(value))


def test_text_by_its_looks():
  texts = ("1", "1.5", "-2", "true", "null", "a", "'a'", "(1, x)", "1e400", "nan", "9" * 50)
  values = (1, 1.5, -2, True, None, "a", "a", (1, "x"), "1e400", "nan", float("9" * 50))
  assert tuple(literal(text) for text in texts) == values
