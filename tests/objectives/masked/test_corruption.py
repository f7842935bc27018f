import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.objectives.masked.corruption import corrupt, fill, ordinary, pick
from pretrainjax.types import Text

VOCAB, SPECIAL = 60, (0, 1, 2, 3, 4)


def text(batch=1500, length=40, seed=0):
  """Rows of 8 to 40 tokens between 2 and 3; the rest is padding, some of it not 0."""
  rng = np.random.default_rng(seed)
  lengths = rng.integers(8, length + 1, batch)[:, None]
  places = np.arange(length)[None]
  tokens = rng.integers(5, VOCAB, (batch, length))
  tokens = np.where(places == 0, 2, np.where(places == lengths - 1, 3, tokens))
  return Text(tokens.astype(np.int32), (places < lengths).astype(np.int32))


def corrupted(given, *, seed=0, **changes):
  options = {"mask_rate": 0.2, "mask_id": 4, "special_ids": SPECIAL, "vocab_size": VOCAB}
  options |= {"random_share": 0.1, "keep_share": 0.1} | changes
  return jax.jit(lambda t: corrupt(jax.random.key(seed), t, **options))(given)


def chosen_mask(found, shape):
  mask = np.zeros(shape, bool)
  for row, column in np.argwhere(np.asarray(found.valid)):
    mask[row, found.positions[row, column]] = True
  return mask


def test_eighty_ten_ten():
  given = text()
  found = corrupted(given)
  valid, labels = np.asarray(found.valid), np.asarray(found.labels)
  new = np.take_along_axis(np.asarray(found.tokens), np.asarray(found.positions), axis=1)
  count = valid.sum()
  masked, kept = (new == 4)[valid].mean(), (new == labels)[valid].mean()
  # Four standard deviations; a random token is the old one in 1 of 55 cases.
  assert abs(masked - 0.8) < 4 * np.sqrt(0.8 * 0.2 / count)
  assert abs(kept - 0.1 - 0.1 / 55) < 4 * np.sqrt(0.1 * 0.9 / count)


def test_specials_and_padding_are_never_chosen_and_the_rest_stays():
  given = text()
  found = corrupted(given)
  mask = chosen_mask(found, given.tokens.shape)
  allowed = (given.segments > 0) & ~np.isin(given.tokens, SPECIAL)
  np.testing.assert_array_equal(ordinary(given, SPECIAL), allowed)
  assert not (mask & ~allowed).any()
  np.testing.assert_array_equal(np.asarray(found.tokens)[~mask], given.tokens[~mask])
  counts = np.maximum(1, np.round(np.float32(0.2) * allowed.sum(axis=1)))
  np.testing.assert_array_equal(mask.sum(axis=1), counts)


def test_labels_are_what_stood_there():
  given = text(batch=20)
  found = corrupted(given)
  expected = np.take_along_axis(given.tokens, np.asarray(found.positions), axis=1)
  np.testing.assert_array_equal(found.labels, expected)


def test_random_tokens_are_uniform_and_no_special_ones():
  given = text()
  found = corrupted(given, random_share=1.0, keep_share=0.0)
  new = np.take_along_axis(np.asarray(found.tokens), np.asarray(found.positions), axis=1)
  counts = np.bincount(new[np.asarray(found.valid)], minlength=VOCAB)
  assert not counts[list(SPECIAL)].any()
  expected = counts.sum() / 55
  np.testing.assert_allclose(counts[5:], expected, atol=4.5 * np.sqrt(expected))


@pytest.mark.parametrize("share", ["keep_share", "none"])
def test_shares_of_one_and_of_nothing(share):
  given = text(batch=50)
  shares = {"random_share": 0.0, "keep_share": float(share == "keep_share")}
  found = corrupted(given, **shares)
  if share == "keep_share":
    np.testing.assert_array_equal(found.tokens, given.tokens)
  else:
    mask = chosen_mask(found, given.tokens.shape)
    np.testing.assert_array_equal(np.asarray(found.tokens)[mask], 4)


def test_whole_words_are_replaced_whole():
  given = text(batch=100)
  starts = np.random.default_rng(1).uniform(size=given.tokens.shape) < 0.6
  found = corrupted(given, random_share=0.0, keep_share=0.0, starts=jnp.asarray(starts))
  is_hidden = np.asarray(found.tokens) == 4
  allowed = np.asarray(ordinary(given, SPECIAL))
  follows = allowed[:, 1:] & allowed[:, :-1] & ~starts[:, 1:]
  assert (is_hidden[:, 1:] == is_hidden[:, :-1])[follows].all() and is_hidden.any()


def test_the_key_decides_and_rows_do_not_depend_on_the_batch_size():
  given = text(batch=16)
  first, again, other = (corrupted(given, seed=seed).tokens for seed in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()
  part = Text(given.tokens[:4], given.segments[:4])
  np.testing.assert_array_equal(corrupted(part).tokens, first[:4])


def test_fill_and_pick_are_about_the_same_places():
  tokens, positions = jnp.arange(12).reshape(2, 6), jnp.array([[1, 4], [5, 0]])
  filled = fill(tokens, positions, jnp.array([[21, 24], [35, 30]]))
  assert filled.tolist() == [[0, 21, 2, 3, 24, 5], [30, 7, 8, 9, 10, 35]]
  picked = pick(filled.astype(jnp.float32)[..., None], positions)
  assert picked[..., 0].tolist() == [[21, 24], [35, 30]]
