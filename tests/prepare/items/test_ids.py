"""Ids become numbers, the same ones after a stop."""

import contextlib

import numpy as np
import pyarrow as pa

from pretrainjax.prepare.items.ids import Ids, read_ids
from pretrainjax.prepare.stages.appended import Appended


def test_ids_are_numbered_as_they_come_and_known_again_after_a_stop(tmp_path):
  with contextlib.closing(Appended(tmp_path, {})) as files:
    ids = Ids("user", tmp_path, files)
    np.testing.assert_array_equal(ids.numbers(pa.array(["b", "a", "b"])), [0, 1, 0])
    sizes = files.sync()
    ids.numbers(pa.array(["lost"]))  # never committed
  with contextlib.closing(Appended(tmp_path, sizes)) as files:
    ids = Ids("user", tmp_path, files)
    assert len(ids) == 2
    found = ids.numbers(pa.array(["\u00e9l", "a", "c", "\u00e9l"]))
    np.testing.assert_array_equal(found, [2, 1, 3, 2])
    files.sync()
  assert read_ids("user", tmp_path).to_pylist() == ["b", "a", "\u00e9l", "c"]


def test_what_no_commit_knows_is_begun_anew(tmp_path):
  with contextlib.closing(Appended(tmp_path, {})) as files:
    Ids("user", tmp_path, files).numbers(pa.array(["lost", "too"]))
  with contextlib.closing(Appended(tmp_path, {})) as files:
    ids = Ids("user", tmp_path, files)
    np.testing.assert_array_equal(ids.numbers(pa.array(["a", "lost"])), [0, 1])
    files.sync()
  assert read_ids("user", tmp_path).to_pylist() == ["a", "lost"]


def test_a_dictionary_with_values_that_are_unused_or_twice(tmp_path):
  with contextlib.closing(Appended(tmp_path, {})) as files:
    ids = Ids("item", tmp_path, files)
    names = pa.DictionaryArray.from_arrays(pa.array([3, 1, 0]), pa.array(["x", "y", "no", "x"]))
    np.testing.assert_array_equal(ids.numbers(names), [0, 1, 0])
    assert len(ids) == 2


def test_no_ids(tmp_path):
  with contextlib.closing(Appended(tmp_path, {})) as files:
    assert len(Ids("item", tmp_path, files).numbers(pa.array([], pa.string()))) == 0
  assert len(read_ids("item", tmp_path)) == 0
