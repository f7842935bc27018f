import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax import masking

KEY = jax.random.key(0)
random_mask = jax.jit(masking.random_mask, static_argnums=1, static_argnames="mask_ratio")
span_mask = jax.jit(
  masking.span_mask, static_argnums=1, static_argnames=("mask_ratio", "span_length", "min_spans")
)
block_mask = jax.jit(masking.block_mask, static_argnums=1, static_argnames="mask_ratio")


@pytest.mark.parametrize(
  ("num_tokens", "ratio", "expected"),
  [(49, 0.75, 12), (196, 0.75, 49), (100, 0.9, 10), (9, 0.0, 9), (3, 0.9, 1), (0, 0.9, 0)],
)
def test_num_visible_rounds_down_but_not_for_binary_fractions(num_tokens, ratio, expected):
  assert masking.num_visible(num_tokens, ratio) == expected


def test_random_mask_keeps_exactly_the_count_in_every_row():
  mask = random_mask(KEY, (64, 49), mask_ratio=0.75)
  np.testing.assert_array_equal(mask.sum(axis=1), 12)


def test_random_mask_is_uniform_over_positions():
  mask = np.asarray(random_mask(KEY, (4000, 16), mask_ratio=0.75))
  # Binomial, p = 1/4: four standard deviations of a mean over 4000 rows.
  np.testing.assert_allclose(mask.mean(axis=0), 0.25, atol=4 * np.sqrt(0.25 * 0.75 / 4000))


def test_random_mask_hides_pairs_independently_but_for_the_count():
  mask = np.asarray(random_mask(KEY, (4000, 16), mask_ratio=0.5)).astype(float)
  correlation = np.corrcoef(mask.T)[~np.eye(16, dtype=bool)]
  np.testing.assert_allclose(correlation, -1 / 15, atol=0.08)  # without replacement


def test_rows_and_keys_differ():
  mask = np.asarray(random_mask(KEY, (32, 49), mask_ratio=0.75))
  assert len(np.unique(mask, axis=0)) == 32
  other = np.asarray(random_mask(jax.random.key(1), (32, 49), mask_ratio=0.75))
  assert (mask != other).any(axis=1).all()


def test_a_row_does_not_depend_on_the_batch_size():
  small = random_mask(KEY, (3, 49), mask_ratio=0.75)
  large = random_mask(KEY, (8, 49), mask_ratio=0.75)
  np.testing.assert_array_equal(small, large[:3])


def _neighbours_hidden_too(hidden):
  """How often the right neighbour of a hidden patch is hidden."""
  return (hidden[:, :, 1:] & hidden[:, :, :-1]).sum() / hidden[:, :, :-1].sum()


def test_block_mask_is_exact_and_made_of_blocks():
  visible = np.asarray(block_mask(KEY, (200, 14, 14), mask_ratio=0.4))
  np.testing.assert_array_equal(visible.sum(axis=(1, 2)), masking.num_visible(196, 0.4))
  assert _neighbours_hidden_too(~visible) > 0.7  # independent patches: 0.4
  share = (~visible).mean(axis=0)
  assert share.min() > 0.02 and share.max() < 0.8  # corners least, none never, none always


def test_span_mask_hides_runs_of_the_span_length():
  visible = np.asarray(span_mask(KEY, (300, 50), mask_ratio=0.2, span_length=5))
  for row in ~visible:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
    assert (edges[1::2] - edges[::2] >= 5).all()


def test_span_mask_hides_about_half_with_the_numbers_of_wav2vec2():
  visible = np.asarray(span_mask(KEY, (400, 400), mask_ratio=0.65, span_length=10))
  assert 0.46 < (~visible).mean() < 0.52  # the paper says about 49%


def test_span_mask_has_at_least_min_spans_and_refuses_long_spans():
  visible = span_mask(KEY, (50, 20), mask_ratio=0.0, span_length=2, min_spans=2)
  assert ((~visible).sum(axis=1) >= 3).all()
  with pytest.raises(ValueError, match="span_length: found 21"):
    span_mask(KEY, (1, 20), mask_ratio=0.1, span_length=21)


def test_causal_mask_is_the_lower_triangle():
  np.testing.assert_array_equal(masking.causal_mask(5), np.tri(5, dtype=bool))


def test_indices_partition_the_tokens_and_ascend():
  visible = random_mask(KEY, (16, 20), mask_ratio=0.75)
  keep = np.asarray(masking.keep_indices(visible, 5))
  hidden = np.asarray(masking.hidden_indices(visible, 15))
  for row in range(16):
    np.testing.assert_array_equal(keep[row], np.flatnonzero(visible[row]))
    np.testing.assert_array_equal(hidden[row], np.flatnonzero(~visible[row]))


def _choose(candidates, rate, starts=None, seed=0):
  fn = jax.jit(masking.choose_tokens, static_argnames="mask_rate")
  starts = None if starts is None else jnp.asarray(starts)
  return fn(jax.random.key(seed), jnp.asarray(candidates), mask_rate=rate, starts=starts)


def _as_mask(chosen, shape):
  """True where a token is chosen; every slot is looked at, so that none counts twice."""
  counts = np.zeros(shape, int)
  positions, valid = np.asarray(chosen.positions), np.asarray(chosen.valid)
  for row, column in np.argwhere(valid):
    counts[row, positions[row, column]] += 1
  assert counts.max() <= 1
  return counts.astype(bool)


def test_choose_tokens_takes_the_rounded_share_of_each_row_and_at_least_one():
  available = np.array([0, 1, 2, 5, 10, 17, 20])
  candidates = np.arange(20)[None] < available[:, None]
  chosen = _choose(candidates, 0.15)
  assert chosen.positions.shape == (7, 3)
  np.testing.assert_array_equal(chosen.valid.sum(axis=1), [0, 1, 1, 1, 2, 3, 3])
  assert not (_as_mask(chosen, candidates.shape) & ~candidates).any()
  for row in np.asarray(chosen.positions):
    assert len(set(row)) == len(row)  # slots without a token have a place of their own too


@pytest.mark.parametrize(("length", "rate", "slots"), [(100, 0.15, 15), (7, 0.15, 2), (3, 0.01, 1)])
def test_choose_tokens_has_as_many_slots_as_a_full_row_needs(length, rate, slots):
  chosen = _choose(np.ones((2, length), bool), rate)
  assert chosen.positions.shape == (2, slots)


def test_choose_tokens_is_uniform_over_candidates():
  candidates = np.tile(np.array([1, 1, 0, 1, 1, 1, 0, 1, 1, 1], bool), (4000, 1))
  mask = _as_mask(_choose(candidates, 0.25), candidates.shape)
  np.testing.assert_array_equal(mask.sum(axis=1), 2)
  shares = mask.mean(axis=0)[candidates[0]]
  np.testing.assert_allclose(shares, 0.25, atol=4 * np.sqrt(0.25 * 0.75 / 4000))


def _words(rng, batch, length):
  """Candidates and starts of words of 1 to 4 tokens, with gaps."""
  candidates, starts = np.ones((batch, length), bool), np.zeros((batch, length), bool)
  for row in range(batch):
    place = 0
    while place < length:
      starts[row, place] = True
      place += int(rng.integers(1, 5))
    candidates[row, rng.integers(0, length, 3)] = False
  return candidates, starts


def test_whole_words_are_chosen_whole_and_nearly_the_share():
  candidates, starts = _words(np.random.default_rng(0), 300, 40)
  chosen = _choose(candidates, 0.2, starts)
  mask = _as_mask(chosen, candidates.shape)
  assert not (mask & ~candidates).any()
  # A candidate that follows another in the same word is chosen with it.
  follows = candidates[:, 1:] & candidates[:, :-1] & ~starts[:, 1:]
  assert (mask[:, 1:] == mask[:, :-1])[follows].all()
  wanted = np.round(0.2 * candidates.sum(axis=1))
  assert (mask.sum(axis=1) <= wanted).all()
  assert mask.sum() > 0.97 * wanted.sum()  # what is left over is less than a word


def test_single_token_words_are_chosen_like_tokens_and_too_long_ones_not_at_all():
  ones = np.ones((50, 20), bool)
  np.testing.assert_array_equal(_choose(ones, 0.15, ones).valid.sum(axis=1), 3)
  one_word = np.arange(20)[None].repeat(2, 0) == 0
  assert not _choose(np.ones((2, 20), bool), 0.15, one_word).valid.any()


def test_chosen_rows_differ_and_do_not_depend_on_the_batch_size():
  candidates, starts = _words(np.random.default_rng(1), 8, 40)
  for words in (None, starts):
    large = _choose(candidates, 0.2, words)
    small = _choose(candidates[:3], 0.2, None if words is None else words[:3])
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:3]), small, large)
  same = _choose(np.ones((8, 40), bool), 0.2).positions
  assert len({tuple(sorted(row)) for row in np.asarray(same).tolist()}) == 8


def _spans(valid, start_rate, span_length, key=0):
  spans = masking.random_spans(
    jax.random.key(key), jnp.asarray(valid), start_rate=start_rate, span_length=span_length
  )
  return np.asarray(spans)


def test_random_spans_hide_the_share_of_the_papers():
  valid = np.ones((300, 500), bool)
  for start_rate, span_length in ((0.065, 10), (0.08, 10), (0.01, 40)):
    expected = 1 - (1 - start_rate) ** span_length
    found = _spans(valid, start_rate, span_length)[:, span_length:].mean()
    np.testing.assert_allclose(found, expected, atol=0.01)  # wav2vec 2.0: .49


def test_random_spans_are_as_long_as_said_but_at_the_end():
  hidden = _spans(np.ones((200, 60), bool), 0.02, 7)
  for row in hidden:
    edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
    for start, end in edges.reshape(-1, 2):
      assert end - start >= 7 or end == 60


def test_random_spans_keep_to_real_steps_and_leave_no_row_whole():
  lengths = np.arange(1, 41)
  valid = np.arange(40)[None] < lengths[:, None]
  hidden = _spans(valid, 0.001, 3)
  assert not (hidden & ~valid).any() and hidden.any(axis=1).all()
  # The same with more padding, and in a smaller batch.
  more = _spans(np.pad(valid, ((0, 0), (0, 0))), 0.001, 3)
  np.testing.assert_array_equal(hidden, more)
  np.testing.assert_array_equal(_spans(valid[:5], 0.001, 3), hidden[:5])
  assert not _spans(np.zeros((2, 5), bool), 0.5, 2).any()


def test_padding_is_neither_seen_nor_hidden_and_moves_no_mask():
  counts = np.array([0, 1, 4, 13, 20])
  valid = jnp.asarray(np.arange(20)[None] < counts[:, None])
  visible = np.asarray(masking.random_mask(KEY, (5, 20), mask_ratio=0.8, valid=valid))
  assert visible.sum(1).tolist() == [0, 1, 1, 2, 4]
  assert not (visible & ~np.asarray(valid)).any()
  longer = jnp.pad(valid, ((0, 0), (0, 7)))
  again = masking.random_mask(KEY, (5, 27), mask_ratio=0.8, valid=longer)
  np.testing.assert_array_equal(again[:, :20], visible)
  everything = masking.random_mask(KEY, (5, 20), mask_ratio=0.8, valid=jnp.ones((5, 20), bool))
  np.testing.assert_array_equal(everything, masking.random_mask(KEY, (5, 20), mask_ratio=0.8))


@pytest.mark.parametrize("count", range(21))
def test_places_to_encode_are_filled_up_with_padding_only(count):
  valid = np.arange(20)[None] < count
  visible = masking.random_mask(KEY, (1, 20), mask_ratio=0.8, valid=jnp.asarray(valid))
  keep, hidden = masking.split_places(visible, 4, valid=jnp.asarray(valid))
  assert sorted([*keep[0].tolist(), *hidden[0].tolist()]) == list(range(20))
  seen = np.asarray(visible)[0]
  assert all(seen[place] or not valid[0, place] for place in keep[0].tolist())
  assert not any(seen[place] for place in hidden[0].tolist())
