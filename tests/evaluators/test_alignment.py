import numpy as np
import pytest
from fake_texts import ArrayTexts, TinyText, random_texts
from flax import nnx

from pretrainjax.evaluators import alignment as alignment_module
from pretrainjax.evaluators.alignment import Alignment, uniformity
from pretrainjax.evaluators.pairs import directions, pair_features


def reference(points, t):
  squared = np.sum((points[:, None] - points[None]) ** 2, axis=-1)
  return np.log(np.exp(-t * squared)[~np.eye(len(points), dtype=bool)].mean())


@pytest.mark.parametrize("rows", [7, 256])
def test_uniformity_equals_numpy_whatever_the_chunks(rows, monkeypatch):
  monkeypatch.setattr(alignment_module, "_ROWS", rows)
  points = directions(np.random.default_rng(0).normal(size=(40, 5))).astype(np.float32)
  for t in (1.0, 2.0):
    assert uniformity(points, t=t) == pytest.approx(reference(points, t), rel=1e-5)


def test_known_values():
  assert uniformity(np.ones((9, 1), np.float32)) == pytest.approx(0.0, abs=1e-6)
  assert uniformity(np.array([[1.0], [-1.0]], np.float32)) == pytest.approx(-8.0)


def test_equal_views_are_aligned_and_others_are_not():
  encoder, texts = TinyText(rngs=nnx.Rngs(0)), random_texts(40, views=2)
  metrics = Alignment(data=ArrayTexts(texts)).run(encoder)
  first, second = pair_features(encoder, ArrayTexts(texts))
  assert metrics["alignment"] == pytest.approx(np.sum((first - second) ** 2, axis=1).mean())
  assert metrics["uniformity"] == pytest.approx(reference(first, 2.0), rel=1e-5)
  same = {name: np.repeat(array[:, :1], 2, axis=1) for name, array in texts.items()}
  assert Alignment(data=ArrayTexts(same), num_examples=10).run(encoder)["alignment"] == 0


def test_too_few_examples_are_refused():
  with pytest.raises(ValueError, match="num_examples=1: expected at least 2"):
    Alignment(data=ArrayTexts(random_texts(5, views=2)), num_examples=1)
  with pytest.raises(ValueError, match="data: found 1 examples, expected at least 2"):
    Alignment(data=ArrayTexts(random_texts(1, views=2))).run(TinyText(rngs=nnx.Rngs(0)))
