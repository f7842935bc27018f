import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.losses.ctc import can_align, ctc_loss

K = 5


def forward(logits, labels, *, blank_id):
  """-log p(labels) of one row by the forward algorithm over labels with blanks between them."""
  logs = logits.astype(np.float64)
  logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
  states = [blank_id]
  for label in labels:
    states += [label, blank_id]
  alpha = np.full(len(states), -np.inf)
  alpha[0] = 0.0  # before the first frame
  if not len(logs):
    return 0.0 if len(labels) == 0 else np.inf
  for n, row in enumerate(logs):
    before, alpha = alpha, np.full(len(states), -np.inf)
    for s, state in enumerate(states):
      ways = [before[s]] if n or s == 0 else []
      if s and (n or s == 1):
        ways.append(before[s - 1])
      if n and s > 1 and state != blank_id and state != states[s - 2]:
        ways.append(before[s - 2])
      alpha[s] = np.logaddexp.reduce([*ways, -np.inf]) + row[state]
  return -np.logaddexp.reduce(alpha[-2:])


def collapsed(path, blank_id):
  return [k for k, _ in itertools.groupby(path) if k != blank_id]


def by_paths(logits, labels, *, blank_id):
  """The same by adding all paths up."""
  logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
  total = -np.inf
  for path in itertools.product(range(K), repeat=len(logits)):
    if collapsed(path, blank_id) == list(labels):
      total = np.logaddexp(total, logs[np.arange(len(path)), path].sum())
  return -total


# Frames and labels of each row: plain, repeated, empty, without frames, with one frame too few for
# the repetition, just enough, and longer than the input.
ROWS = (
  (7, [1, 2, 3]),
  (7, [1, 1, 2, 2]),
  (5, []),
  (0, []),
  (0, [3]),
  (3, [4, 4, 2]),
  (4, [4, 4, 2]),
  (2, [1, 2, 3]),
)
FITS = [True, True, True, True, False, False, True, False]


def batch(blank_id=0, *, seed=0, rows=ROWS):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(len(rows), 7, K)).astype(np.float32) * 2
  labels, present = np.full((len(rows), 4), 1, np.int32), np.zeros((len(rows), 4), bool)
  for row, (_, found) in enumerate(rows):
    labels[row, : len(found)] = [(k + blank_id) % K for k in found]
    present[row, : len(found)] = True
  valid = np.arange(7)[None] < np.array([frames for frames, _ in rows])[:, None]
  return logits, labels, {"valid": valid, "present": present}


def loss_of(logits, labels, masks, **options):
  logits, labels, masks = jax.tree.map(jnp.asarray, (logits, labels, masks))
  return np.asarray(ctc_loss(logits, labels, **masks, **options))


def aligned(labels, masks):
  return can_align(jnp.asarray(labels), **jax.tree.map(jnp.asarray, masks)).tolist()


@pytest.mark.parametrize("blank_id", [0, 2, K - 1])
def test_equals_the_forward_algorithm(blank_id):
  logits, labels, masks = batch(blank_id)
  found = loss_of(logits, labels, masks, blank_id=blank_id)
  for row, (frames, _) in enumerate(ROWS):
    spelt = labels[row, masks["present"][row]]
    expected = forward(logits[row, :frames], spelt, blank_id=blank_id)
    assert np.isfinite(expected) == FITS[row]
    np.testing.assert_allclose(found[row], expected if FITS[row] else 0.0, rtol=1e-4, atol=1e-4)


def test_the_forward_algorithm_adds_all_paths_up():
  logits = np.random.default_rng(1).normal(size=(4, K))
  for labels in ([], [1], [1, 1], [1, 2, 1], [3, 3, 3]):
    expected = by_paths(logits, labels, blank_id=0)
    np.testing.assert_allclose(forward(logits, labels, blank_id=0), expected)


def test_rows_that_cannot_be_aligned_are_told_and_have_no_gradient():
  logits, labels, masks = batch()
  assert aligned(labels, masks) == FITS
  labels, masks = jax.tree.map(jnp.asarray, (labels, masks))
  gradient = jax.grad(lambda x: ctc_loss(x, labels, **masks).sum())(jnp.asarray(logits))
  assert np.isfinite(gradient).all()
  has_gradient = np.abs(gradient).sum(axis=(1, 2)) > 0
  assert has_gradient.tolist() == [
    f and frames > 0 for f, (frames, _) in zip(FITS, ROWS, strict=True)
  ]


def test_what_stands_in_padding_changes_nothing():
  logits, labels, masks = batch()
  expected = loss_of(logits, labels, masks)
  rng = np.random.default_rng(2)
  valid, present = masks["valid"], masks["present"]
  logits = np.where(valid[..., None], logits, rng.normal(size=logits.shape) * 50)
  labels = np.where(present, labels, rng.integers(0, K, labels.shape))
  found = loss_of(logits.astype(np.float32), labels.astype(np.int32), masks)
  np.testing.assert_array_equal(found, expected)


def test_labels_may_stand_anywhere_in_their_row():
  rows = ((7, [1, 1, 3]), (7, [2, 4]))
  logits, labels, masks = batch(rows=rows)
  expected = loss_of(logits, labels, masks)
  apart = np.array([[9, 1, 1, 9, 3], [2, 9, 9, 9, 4]], np.int32)
  masks |= {"present": apart != 9}
  np.testing.assert_allclose(loss_of(logits, apart, masks), expected, rtol=1e-6)
  assert aligned(apart, masks) == [True, True]


def test_a_confident_alignment_never_falls_below_zero():
  """Rounding alone gives -8e-8 for some of these rows, whose log would be no number."""
  rng = np.random.default_rng(0)
  paths = rng.integers(0, K, (64, 20))
  logits = (np.eye(K)[paths] * rng.uniform(15, 60, (64, 1, 1))).astype(np.float32)
  spelt = [collapsed(path, 0) for path in paths]
  labels, present = np.zeros((64, 20), np.int32), np.zeros((64, 20), bool)
  for row, found in enumerate(spelt):
    labels[row, : len(found)], present[row, : len(found)] = found, True
  loss = loss_of(logits, labels, {"valid": np.ones((64, 20), bool), "present": present})
  assert (loss >= 0).all() and (loss < 1e-3).all()


def test_it_sums_in_float32_whatever_comes_in():
  logits, labels, masks = batch()
  assert loss_of(jnp.asarray(logits, jnp.bfloat16), labels, masks).dtype == np.float32
