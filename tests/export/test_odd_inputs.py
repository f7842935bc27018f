import numpy as np

from pretrainjax.export.odd_inputs import lowest_token, odd_images, rare_tokens


def test_rare_tokens_go_down_from_the_last_and_around():
  found = rare_tokens((2, 4), vocab_size=11)
  assert found.tolist() == [[10, 9, 8, 7], [6, 5, 10, 9]]
  assert lowest_token(11) == 5 and lowest_token(3) == 2
  assert rare_tokens((1, 3), vocab_size=3).tolist() == [[2, 2, 2]]


def test_pixels_are_extreme():
  images = dict(odd_images((2, 3, 4, 1), np.random.default_rng(0)))
  assert list(images) == ["black images", "white images", "images of two values"]
  assert all(x.shape == (2, 3, 4, 1) and x.dtype == np.uint8 for x in images.values())
  assert [sorted(np.unique(x)) for x in images.values()] == [[0], [255], [0, 255]]
