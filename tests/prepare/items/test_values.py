"""Columns of a log as numbers: units and forms of times, missing values, wrong ones."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from pretrainjax.prepare.items.values import microseconds, numbers, texts

MOMENT = 1_577_934_245  # 2020-01-02T03:04:05Z
UTC = datetime.UTC


@pytest.mark.parametrize(
  ("column", "unit", "expected"),
  [
    (pa.array([MOMENT, -1]), "s", [MOMENT * 10**6, -(10**6)]),
    (pa.array([MOMENT * 1000 + 7]), "ms", [MOMENT * 10**6 + 7000]),
    (pa.array([MOMENT * 10**6 + 7], pa.uint64()), "us", [MOMENT * 10**6 + 7]),
    (pa.array([MOMENT * 10**9 + 7001]), "ns", [MOMENT * 10**6 + 7]),
    (pa.array([MOMENT + 0.25]), "s", [MOMENT * 10**6 + 250_000]),
    (pa.array([str(MOMENT), " 12 "]), "s", [MOMENT * 10**6, 12 * 10**6]),
    (pa.array([b"881250949.0", b"1e3"]), "s", [881250949 * 10**6, 10**9]),
    (pa.array(["2020-01-02T03:04:05", "2020-01-02"]), "s", [MOMENT * 10**6, 1577923200 * 10**6]),
    (pa.array(["2020-01-02 03:04:05.5Z"]), "s", [MOMENT * 10**6 + 500_000]),
    (pa.array(["2020-01-02T05:04:05+02:00"]), "s", [MOMENT * 10**6]),
    (pa.array(["2020-01-02T03:04:05", "2020-01-02T03:04:05Z"]), "s", [MOMENT * 10**6] * 2),
    (pa.array([str(MOMENT), "2020-01-02T03:04:05Z"]), "s", [MOMENT * 10**6] * 2),
    (pa.array(["1969-12-31T23:59:59"]), "s", [-(10**6)]),
    (pa.array([datetime.datetime(2020, 1, 2, 3, 4, 5)]), "ms", [MOMENT * 10**6]),
    (pa.array([datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)]), "ms", [MOMENT * 10**6]),
    (pa.array([datetime.date(1970, 1, 2)]), "ms", [86_400 * 10**6]),
    (pa.array([str(MOMENT)]).dictionary_encode(), "s", [MOMENT * 10**6]),
  ],
)
def test_times_of_all_units_and_forms(column, unit, expected):
  found = microseconds(column, unit)
  np.testing.assert_array_equal(found.numbers, expected)
  assert not found.missing.any() and not found.wrong.any()


@pytest.mark.parametrize(
  ("column", "missing", "wrong"),
  [
    (pa.array(["", "NaN", "null", " ", None, "7"]), [1, 1, 1, 1, 1, 0], [0] * 6),
    (pa.array(["7", "soon", "2020-13-01", "", "1e300"]), [0, 0, 0, 1, 0], [0, 1, 1, 0, 1]),
    (pa.array(["2020-01-02", "x", None]), [0, 0, 1], [0, 1, 0]),
    (pa.array([1.5, None, float("nan"), float("inf")]), [0, 1, 1, 0], [0, 0, 0, 1]),
    (pa.array([7, None, 2**62]), [0, 1, 0], [0, 0, 1]),
    (pa.array([b"7", b"\xff"]), [0, 1], [0, 0]),
    (pa.array([[1], [2]]), [0, 0], [1, 1]),
  ],
)
def test_times_that_are_none(column, missing, wrong):
  found = microseconds(column, "s")
  np.testing.assert_array_equal(found.missing, np.array(missing, bool))
  np.testing.assert_array_equal(found.wrong, np.array(wrong, bool))
  assert not found.numbers[found.missing | found.wrong].any()


def test_numbers_of_texts():
  found = numbers(pa.array(["4", "3.5", "", "good", None]))
  np.testing.assert_array_equal(found.numbers, [4, 3.5, 0, 0, 0])
  np.testing.assert_array_equal(found.missing, [False, False, True, False, True])
  np.testing.assert_array_equal(found.wrong, [False, False, False, True, False])


@pytest.mark.parametrize(
  ("column", "expected"),
  [
    (pa.array([" a ", "", None, "b"]), ["a", None, None, "b"]),
    (pa.array([1, 2]), ["1", "2"]),
    (pa.array([1.0, None, 2.0]), ["1", None, "2"]),
    (pa.array([1.5, 2.0]), ["1.5", "2"]),
    (pa.array([1.0, float("nan"), float("inf")]), ["1", None, None]),
    (pa.array([1e300, 2.0]), ["1e+300", "2"]),
    (pa.array([[1], [2]]), [None, None]),
    (pa.array([True, False]), ["true", "false"]),
    (pa.array([b"a", b"\xff", b"\xc3\xa9"]), ["a", None, "\u00e9"]),
    (pa.array(["a", None, " a"]).dictionary_encode(), ["a", None, "a"]),
  ],
)
def test_ids_are_texts_whatever_they_are_written_as(column, expected):
  assert texts(column).to_pylist() == expected
