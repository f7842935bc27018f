"""Features of items and users as numbers: each value of each feature has one, from 1."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int32


class FeatureRows(NamedTuple):
  """The features of each entry of a table.

  Attributes:
    names: the values in the order of their numbers, which count from 1: "genres=Drama".
    rows: the numbers that each entry has, ascending, 0 behind them.
  """

  names: tuple[str, ...]
  rows: Int32[np.ndarray, "N F"]


def feature_rows(features: Sequence[Mapping[str, Any]]) -> FeatureRows:
  """Numbers the values of features, in the order of their names.

  Args:
    features: by name, a text or a list of texts each, of each entry of a table.

  >>> found = feature_rows([{}, {"genres": ["Drama", "War"], "year": "1977"}, {"year": "1980"}])
  >>> found.names
  ('genres=Drama', 'genres=War', 'year=1977', 'year=1980')
  >>> found.rows.tolist()
  [[0, 0, 0], [1, 2, 3], [4, 0, 0]]
  """
  values = [sorted(set(_values(entry))) for entry in features]
  names = sorted({name for entry in values for name in entry})
  numbers = {name: number for number, name in enumerate(names, 1)}
  rows = np.zeros((len(values), max(map(len, values), default=0)), np.int32)
  for row, entry in zip(rows, values, strict=True):
    row[: len(entry)] = [numbers[name] for name in entry]
  return FeatureRows(tuple(names), rows)


def _values(features: Mapping[str, Any]) -> list[str]:
  found = []
  for name, value in features.items():
    found += [f"{name}={one}" for one in (value if isinstance(value, list) else [value])]
  return found
