"""Distractors of a row, and the contrast with them by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from pretrainjax.losses.in_utterance import distractors, in_utterance_contrast

KEY = jax.random.key(0)


def test_distractors_are_other_hidden_tokens_of_the_row_all_as_likely():
  hidden = np.random.default_rng(0).uniform(size=(4, 30)) < 0.3
  places = np.asarray(distractors(KEY, jnp.asarray(hidden), count=4000))
  for row, token in np.argwhere(hidden):
    drawn, counts = np.unique(places[row, token], return_counts=True)
    others = set(np.flatnonzero(hidden[row])) - {token}
    assert set(drawn.tolist()) == others
    np.testing.assert_allclose(counts, 4000 / len(others), rtol=0.25)


def test_they_do_not_hang_on_padding_nor_on_the_batch():
  hidden = jnp.asarray(np.random.default_rng(1).uniform(size=(3, 20)) < 0.5)
  places = distractors(KEY, hidden, count=5)
  alone = distractors(KEY, hidden[:1], count=5)
  np.testing.assert_array_equal(places[0], alone[0])


def test_rows_without_others_give_places_all_the_same():
  for row in ([False] * 4, [False, True, False, False]):
    places = np.asarray(distractors(KEY, jnp.array([row]), count=3))
    assert ((places >= 0) & (places < 4)).all()


def test_the_loss_is_that_of_the_paper():
  rng = np.random.default_rng(2)
  tokens, codes = rng.normal(size=(2, 2, 6, 5)).astype(np.float32)
  numbers = rng.integers(2, size=(2, 6, 1))
  codes = np.where(numbers == 0, codes[:, :1], codes[:, 1:2])  # two codes a row
  places = rng.integers(6, size=(2, 6, 4))
  found = in_utterance_contrast(
    *map(jnp.asarray, (tokens, codes, numbers, places)), temperature=0.2
  )
  unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
  cosines = np.einsum("bnp,bmp->bnm", unit(tokens), unit(codes)) / 0.2
  for row in range(2):
    for token in range(6):
      own = cosines[row, token, token]
      others = [
        cosines[row, token, p] for p in places[row, token] if numbers[row, p] != numbers[row, token]
      ]
      np.testing.assert_allclose(
        found.loss[row, token], logsumexp([own, *others]) - own, rtol=1e-4, atol=1e-5
      )
      assert bool(found.correct[row, token]) == all(own > other for other in others)


def test_the_gradient_is_finite_where_all_distractors_are_the_code_itself():
  x = jnp.ones((1, 3, 2))
  places, numbers = jnp.zeros((1, 3, 2), int), jnp.zeros((1, 3, 1), int)

  def loss(tokens):
    return jnp.sum(in_utterance_contrast(tokens, x, numbers, places, temperature=0.1).loss)

  value, gradient = jax.value_and_grad(loss)(x)
  np.testing.assert_allclose(value, 0, atol=1e-6)
  assert np.isfinite(gradient).all()
