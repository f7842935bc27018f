import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.objectives.masked.spans import cut_spans, span_sizes

FIRST, END = 100, 3
SHARES = {"noise_density": 0.15, "mean_span_length": 3.0}
STATIC = ("first_sentinel", "sentinel_step", "end_id", *SHARES)
jitted = jax.jit(cut_spans, static_argnames=STATIC)  # operations compiled one by one take longer


def cut(counts, length, seed=0, **changes):
  """(tokens, spans) of rows of so many tokens, all different ones from 1000 on."""
  tokens = 1000 + np.arange(len(counts) * length, dtype=np.int32).reshape(-1, length)
  valid = np.arange(length)[None] < np.asarray(counts)[:, None]
  options = {"first_sentinel": FIRST, "sentinel_step": 1, "end_id": END} | SHARES | changes
  spans = jitted(
    jax.random.key(seed), jnp.asarray(np.where(valid, tokens, 0)), jnp.asarray(valid), **options
  )
  return tokens, jax.tree.map(np.asarray, spans)


def restored(inputs, targets):
  """The text that both came from, by putting each span in the place of its sentinel."""
  found, span = {}, None
  for token in targets:
    if FIRST <= token < 1000:
      span = found.setdefault(int(token), [])
    else:
      span.append(token)
  text = []
  for token in inputs:
    text += found.pop(int(token)) if FIRST <= token < 1000 else [token]
  assert not found
  return text


# 190 * 0.15 is 28.5, on the border of two numbers of tokens, and so of two numbers of spans.
@pytest.mark.parametrize(
  ("counts", "length"),
  [([64] * 4, 64), ([64, 50, 33, 8], 64), ([2, 3, 4, 5], 64), ([190, 190, 189, 70], 190)],
)
def test_inputs_and_targets_together_are_the_text(counts, length):
  tokens, spans = cut(counts, length)
  for row, count in enumerate(counts):
    inputs = spans.inputs[row][spans.inputs_valid[row]]
    targets = spans.targets[row][spans.targets_valid[row]]
    assert inputs[-1] == targets[-1] == END
    assert restored(inputs[:-1], targets[:-1]) == tokens[row, :count].tolist()
    sizes = span_sizes(count, **SHARES)
    assert (len(inputs), len(targets)) == (sizes.inputs, sizes.targets)
    sentinels = [t for t in targets if FIRST <= t < 1000]
    assert sentinels == list(range(FIRST, FIRST + sizes.num_spans))
    assert inputs[0] >= 1000, "a row begins with what stays"
  assert not spans.inputs[~spans.inputs_valid].any()
  assert not spans.targets[~spans.targets_valid].any()


@pytest.mark.parametrize("count", [0, 1])
def test_rows_with_nothing_to_cut_lose_nothing(count):
  tokens, spans = cut([count], 16)
  inputs = spans.inputs[0][spans.inputs_valid[0]]
  assert inputs.tolist() == [*tokens[0, :count], END]
  assert spans.targets[0][spans.targets_valid[0]].tolist() == [END]


def test_sentinels_may_count_down():
  _, spans = cut([64], 64, sentinel_step=-1)
  sentinels = [t for t in spans.targets[0] if END < t < 1000]
  assert sentinels == [FIRST, FIRST - 1, FIRST - 2]


def noise_by_numpy(rng, length, num_noise, num_spans):
  """True where a token is cut out, as the paper's authors draw it; written anew."""

  def parts(count):
    cuts = np.sort(rng.choice(np.arange(1, count), num_spans - 1, replace=False))
    return np.diff([0, *cuts, count])

  turns = np.stack([parts(length - num_noise), parts(num_noise)], axis=1).reshape(-1)
  return np.repeat(np.arange(len(turns)) % 2 == 1, turns)


def test_places_are_cut_as_often_as_by_the_reference():
  """Of 40 tokens 6 in 2 spans; the last token always goes, a property of the method."""
  tokens, spans = cut([40] * 4000, 40)
  gone = np.zeros(40)
  for row in range(4000):
    targets = spans.targets[row][spans.targets_valid[row]][:-1]
    gone[targets[targets >= 1000] - tokens[row, 0]] += 1
  rng = np.random.default_rng(0)
  expected = sum(noise_by_numpy(rng, 40, 6, 2) for _ in range(4000))
  assert gone.sum() == 4000 * 6 and gone[0] == 0 and gone[-1] == 4000
  np.testing.assert_allclose(gone / 4000, expected / 4000, atol=0.03)


def test_rows_differ_and_the_key_decides():
  first, again, other = (cut([64] * 2, 64, seed=seed)[1].inputs for seed in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert (first != other).any()
  assert (np.flatnonzero(first[0] < 1000)[:3] != np.flatnonzero(first[1] < 1000)[:3]).any()


def test_fewer_tokens_never_need_more_room():
  for length in (8, 64, 129):
    full = span_sizes(length, **SHARES)
    for count in range(2, length):
      sizes = span_sizes(count, **SHARES)
      assert sizes.inputs <= full.inputs and sizes.targets <= full.targets
