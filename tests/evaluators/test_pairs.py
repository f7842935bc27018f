import numpy as np
import pytest
from fake_texts import ArrayTexts, TinyText, random_texts
from flax import nnx

from pretrainjax.evaluators.pairs import directions, pair_features
from pretrainjax.types import Text


def test_both_views_are_encoded_in_order_and_have_length_one():
  texts, encoder = random_texts(21, views=2), TinyText(rngs=nnx.Rngs(0))
  pairs = pair_features(encoder, ArrayTexts(texts))
  for view, found in enumerate(pairs):
    alone = Text(texts["tokens"][:, view], texts["segments"][:, view])
    np.testing.assert_allclose(found, directions(np.asarray(encoder(alone).pooled)), atol=1e-6)
  np.testing.assert_allclose(np.linalg.norm(pairs.first, axis=1), 1, atol=1e-6)


def test_both_views_are_of_the_same_subset():
  texts = random_texts(30, views=2)
  texts = {name: np.repeat(array[:, :1], 2, axis=1) for name, array in texts.items()}
  encoder = TinyText(rngs=nnx.Rngs(0))
  pairs = pair_features(encoder, ArrayTexts(texts), max_examples=7, seed=3)
  assert len(pairs.first) == 7
  np.testing.assert_array_equal(pairs.first, pairs.second)


def test_zeros_have_no_direction():
  np.testing.assert_array_equal(directions(np.array([[0.0, 0], [3, 4]])), [[0, 0], [0.6, 0.8]])


def test_one_view_makes_no_pairs():
  with pytest.raises(ValueError, match="view"):
    pair_features(TinyText(rngs=nnx.Rngs(0)), ArrayTexts(random_texts(3)))
