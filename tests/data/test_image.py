"""Crops lie where they may, and have the size that was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import smooth

from pretrainjax.data import image
from pretrainjax.data.image import PadCrop, RandomResizedCrop, Resize


def test_resize_keeps_the_channel_and_the_mean():
  for channels in (1, 3):
    small = image.resize(smooth(channels=channels), 10, 14)
    assert small.shape == (10, 14, channels) and small.dtype == np.uint8
    assert abs(small.mean() - smooth(channels=channels).mean()) < 2
  same = smooth()
  assert image.resize(same, 40, 56) is same


def test_resize_does_not_alias():
  """A checkerboard much finer than the result is grey, not black and white."""
  board = (np.indices((64, 64)).sum(0)[..., None] % 2 * 255).astype(np.uint8)
  assert np.abs(image.resize(board, 8, 8).astype(int) - 127).max() <= 2


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 40))
def test_every_transform_gives_its_size(height, width, size):
  pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
  for transform in (
    Resize(size),
    Resize(size, short_side=size + 5),
    RandomResizedCrop(size),
    PadCrop(size),
  ):
    found = transform(pixels, np.random.default_rng(1))
    assert found.shape == (size, size, 3) and found.dtype == np.uint8


def test_resize_cuts_the_centre():
  pixels = np.zeros((20, 40, 1), np.uint8)
  pixels[:, 10:30] = 200  # the central square
  np.testing.assert_array_equal(Resize(20)(pixels, np.random.default_rng(0)), 200)
  inner = Resize(16, short_side=20)(smooth(20, 20), np.random.default_rng(0))
  np.testing.assert_array_equal(inner, smooth(20, 20)[2:18, 2:18])


def boxes(crop: RandomResizedCrop, rows: int, columns: int, count: int = 2000) -> np.ndarray:
  """(top, left, height, width) of many draws."""
  rng = np.random.default_rng(0)
  return np.asarray([crop._box(rows, columns, rng) for _ in range(count)])


@pytest.mark.parametrize(("rows", "columns"), [(100, 100), (60, 180), (7, 5), (1, 300), (1, 1)])
def test_boxes_lie_inside(rows, columns):
  top, left, height, width = boxes(RandomResizedCrop(8), rows, columns, 300).T
  assert (height >= 1).all() and (width >= 1).all() and (top >= 0).all() and (left >= 0).all()
  assert (top + height <= rows).all() and (left + width <= columns).all()


def test_areas_and_ratios_are_distributed_as_asked():
  crop = RandomResizedCrop(8, scale=(0.2, 0.6), ratio=(0.5, 2.0))
  top, left, height, width = boxes(crop, 1000, 1000).T
  area, ratio = height * width / 1e6, np.log(width / height)
  assert area.min() >= 0.199 and area.max() <= 0.601
  assert np.abs(ratio).max() <= np.log(2.0) + 0.01
  # Evenly in area, evenly in the logarithm of the ratio, and anywhere that it fits.
  np.testing.assert_allclose(np.quantile(area, [0.25, 0.5, 0.75]), [0.3, 0.4, 0.5], atol=0.02)
  np.testing.assert_allclose(ratio.mean(), 0.0, atol=0.04)
  for start, side in ((top, height), (left, width)):
    room = 1000 - side
    np.testing.assert_allclose(np.mean(start[room > 50] / room[room > 50]), 0.5, atol=0.03)


def test_where_no_box_fits_the_centre_is_taken():
  top, left, height, width = boxes(RandomResizedCrop(8, scale=(1.0, 1.0)), 10, 100, 1)[0]
  assert (height, width) == (10, 13) and (top, left) == (0, 43)


def mirrored(transform, probability_seed: int = 0, count: int = 400) -> float:
  """How often a picture that is dark on the left comes back dark on the right."""
  pixels = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 24, axis=0)
  rng = np.random.default_rng(probability_seed)
  found = [transform(pixels, rng)[12] for _ in range(count)]
  return float(np.mean([row[6, 0] > row[18, 0] for row in found]))


@pytest.mark.parametrize("kind", [RandomResizedCrop, PadCrop])
def test_flips_as_often_as_asked(kind):
  options = {"padding": 0} if kind is PadCrop else {"scale": (0.9, 1.0)}
  assert mirrored(kind(24, flip=0.0, **options)) == 0.0
  assert mirrored(kind(24, flip=1.0, **options)) == 1.0
  assert 0.2 < mirrored(kind(24, flip=0.3, **options)) < 0.4


def test_pad_crop_shifts_by_at_most_the_padding():
  pixels = smooth(32, 32)
  crop, rng, shifts = PadCrop(32, padding=3, flip=0.0), np.random.default_rng(0), set()
  padded = np.pad(pixels, ((3, 3), (3, 3), (0, 0)))
  for _ in range(800):
    found = crop(pixels, rng)
    matches = [
      (top, left)
      for top in range(7)
      for left in range(7)
      if np.array_equal(found, padded[top : top + 32, left : left + 32])
    ]
    assert len(matches) == 1
    shifts |= set(matches)
  assert len(shifts) == 49  # all of them occur
  np.testing.assert_array_equal(PadCrop(32, padding=0, flip=0.0)(pixels, rng), pixels)


@pytest.mark.parametrize("transform", [RandomResizedCrop(16), PadCrop(16)])
def test_the_generator_alone_decides(transform):
  draw = lambda seed: transform(smooth(), np.random.default_rng(seed))
  np.testing.assert_array_equal(draw(3), draw(3))
  assert any(not np.array_equal(draw(3), draw(seed)) for seed in range(4, 8))


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: Resize(0), "size=0: expected at least 1"),
    (lambda: Resize(32, short_side=16), "short_side=16: expected at least size=32"),
    (lambda: RandomResizedCrop(8, scale=(0.5, 0.2)), "scale="),
    (lambda: RandomResizedCrop(8, scale=(0.0, 1.0)), "scale="),
    (lambda: RandomResizedCrop(8, ratio=(-1.0, 1.0)), "ratio="),
    (lambda: RandomResizedCrop(8, flip=1.5), r"flip=1.5: expected in \[0, 1\]"),
    (lambda: PadCrop(8, padding=-1), "padding=-1: expected at least 0"),
  ],
)
def test_bad_arguments_are_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_evaluation_shrinks_by_area():
  """Every other pixel is white: linear at 2/3 would leave stripes, area gives a near grey."""
  stripes = np.zeros((30, 30, 1), np.uint8)
  stripes[:, ::2] = 255
  small = Resize(20)(stripes, np.random.default_rng(0))
  linear = image.resize(stripes, 20, 20)
  assert small.astype(float).std() < linear.astype(float).std()
