"""What a prepared set notes of its pixels, and what became of more than 8 bits."""

import dataclasses
import json

import numpy as np
import pytest

from pretrainjax.data.pixels import Pixels, Wide, finish, pixels_of_json


def test_notes_come_back_through_json():
  for pixels in (Pixels(), Pixels(False, None, (0, 4095)), Pixels(True, (1, 2, 3), (0.5, 1.0))):
    noted = json.loads(json.dumps(dataclasses.asdict(pixels)))
    assert pixels_of_json(noted) == pixels


@pytest.mark.parametrize(
  "change",
  [
    {"rotate": 1},
    {"background": [1, 2]},
    {"background": [1, 2, 300]},
    {"background": "white"},
    {"value_range": [1, True]},
    {"value_range": [2, 1]},
    {"other": 1},
  ],
  ids=str,
)
def test_notes_without_sense_are_refused(change):
  with pytest.raises(ValueError, match="found|expected"):
    pixels_of_json(dataclasses.asdict(Pixels()) | change)
  with pytest.raises(ValueError):
    pixels_of_json(None)


def test_what_is_left_of_many_levels_is_counted():
  values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64, 1)
  found = finish(values, orientation=1, pixels=Pixels())
  assert found.wide == Wide(4096, 16, 4095.0)
  found = finish(values, orientation=1, pixels=Pixels(value_range=(0, 4095)))
  assert found.wide == Wide(4096, 256, 4095.0)
  assert finish(values.astype(np.uint8), orientation=1, pixels=Pixels()).wide is None


def test_strips_make_no_difference(monkeypatch):
  rng = np.random.default_rng(0)
  values = rng.integers(0, 65536, (33, 7, 4), dtype=np.uint16)
  whole = finish(values, orientation=6, pixels=Pixels(value_range=(5, 60_000)))
  monkeypatch.setattr("pretrainjax.data.pixels._STRIP", 20)
  strips = finish(values, orientation=6, pixels=Pixels(value_range=(5, 60_000)))
  np.testing.assert_array_equal(strips.image, whole.image)
  assert whole.image.shape == (7, 33, 3) and whole.is_turned and whole.is_transparent


def test_nothing_that_is_no_number_becomes_one():
  values = np.array([[np.nan, np.inf, -np.inf, 0.5]], np.float32)[:, :, None]
  found = finish(values, orientation=1, pixels=Pixels(value_range=(0, 1)))
  assert found.image.ravel().tolist() == [0, 255, 0, 128]
