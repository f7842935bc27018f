"""Large images become small files, small ones stay as they are."""

import numpy as np
import pytest
from pictures import smooth

from pretrainjax.data.decode import decode
from pretrainjax.prepare.image.shrink import Shrink


@pytest.mark.parametrize("channels", [1, 3])
def test_the_longer_side_comes_down_and_the_picture_stays(channels):
  image = smooth(40, 80, channels)
  small = Shrink(20)(image)
  assert small is not None and small.shape == (10, 20, channels)
  np.testing.assert_allclose(small, image.reshape(10, 4, 20, 4, channels).mean((1, 3)), atol=1)
  found = decode(Shrink(20).encoded(small))
  assert found.shape == small.shape and np.abs(found.astype(int) - small).mean() < 12
  np.testing.assert_array_equal(decode(Shrink(20, quality=None).encoded(small)), small)


def test_small_ones_are_left_alone_and_thin_ones_keep_a_row():
  assert Shrink()(smooth()) is None and Shrink(56)(smooth(40, 56)) is None
  thin = Shrink(10)(smooth(1, 300))
  assert thin is not None and thin.shape == (1, 10, 3)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"longest_side": 0}, "longest_side=0"),
    ({"quality": 101}, "quality=101"),
    ({"quality": 0}, "quality=0"),
  ],
)
def test_bad_arguments_are_named(options, message):
  with pytest.raises(ValueError, match=message):
    Shrink(**options)
