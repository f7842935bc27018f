"""Mean and deviation of pixels, against NumPy's."""

import numpy as np
import pytest

from pretrainjax.data import pixel_statistics as module
from pretrainjax.data.pixel_statistics import measured_rows, pixel_statistics


def test_is_that_of_all_pixels_however_large_images_are():
  rng = np.random.default_rng(0)
  images = [rng.integers(0, 256, (side, 3, 3), np.uint8) for side in (2, 9, 5)]
  found = pixel_statistics(images, lambda image: image)
  pixels = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
  assert found.mean == pytest.approx(pixels.mean(axis=0), abs=1e-4)
  assert found.std == pytest.approx(pixels.std(axis=0), abs=1e-4)
  assert found.num_images == 3
  assert (found.smallest, found.largest) == ((2, 3), (9, 3))


def test_images_that_cannot_be_unpacked_are_passed_over():
  one = np.full((2, 2, 1), 51, np.uint8)
  found = pixel_statistics(range(4), lambda row: one if row == 2 else None)
  assert found.mean == (0.2,) and found.std == (0.001,), "nothing is divided by zero"
  assert pixel_statistics(range(4), lambda row: None) is None


def test_of_many_images_some_are_measured_evenly(monkeypatch):
  monkeypatch.setattr(module, "MOST", 5)
  assert measured_rows(4).tolist() == [0, 1, 2, 3]
  assert measured_rows(101).tolist() == [0, 25, 50, 75, 100]
