import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.losses.contrastive import (
  compare_pairs,
  compare_views,
  info_nce,
  l2_normalize,
  nt_xent,
  uniformity,
)


@pytest.fixture
def views():
  return np.random.default_rng(0).normal(size=(6, 2, 8)).astype(np.float32)


def _reference_nt_xent(views, temperature):
  """Equation 1 of the paper, one pair at a time."""
  z = views.astype(np.float64)
  z /= np.linalg.norm(z, axis=-1, keepdims=True)
  others = [(b, v) for b in range(len(z)) for v in range(2)]

  def one(b, v):
    score = {k: np.exp(z[b, v] @ z[k] / temperature) for k in others if k != (b, v)}
    return -np.log(score[b, 1 - v] / sum(score.values()))

  return np.array([(one(b, 0) + one(b, 1)) / 2 for b in range(len(z))])


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_equals_the_reference(views, temperature):
  ours = nt_xent(jnp.asarray(views), temperature=temperature)
  np.testing.assert_allclose(ours, _reference_nt_xent(views, temperature), atol=1e-4)


def test_info_nce_equals_the_reference(views):
  z = views / np.linalg.norm(views, axis=-1, keepdims=True)
  scores = np.exp(z[:, 0] @ z[:, 1].T / 0.2)
  expected = -np.log(np.diag(scores) / scores.sum(axis=1))
  ours = info_nce(jnp.asarray(views[:, 0]), jnp.asarray(views[:, 1]), temperature=0.2)
  np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_uniform_logits_give_the_log_of_the_candidates():
  same = jnp.ones((5, 2, 3))
  np.testing.assert_allclose(nt_xent(same, temperature=0.1), np.log(9), rtol=1e-5)
  np.testing.assert_allclose(
    info_nce(same[:, 0], same[:, 1], temperature=0.1), np.log(5), rtol=1e-5
  )


def test_permuting_examples_permutes_the_loss(views):
  order = np.random.default_rng(1).permutation(6)
  ours = nt_xent(jnp.asarray(views), temperature=0.5)
  shuffled = nt_xent(jnp.asarray(views[order]), temperature=0.5)
  np.testing.assert_allclose(shuffled, ours[order], atol=1e-5)


def test_swapping_views_and_scaling_projections_change_nothing(views):
  ours = nt_xent(jnp.asarray(views), temperature=0.5)
  swapped = nt_xent(jnp.asarray(views[:, ::-1]), temperature=0.5)
  np.testing.assert_allclose(swapped, ours, atol=1e-5)
  np.testing.assert_allclose(nt_xent(jnp.asarray(views) * 100, temperature=0.5), ours, atol=1e-5)


@pytest.mark.parametrize("temperature", [1e-4, 1e-2, 1e4])
@pytest.mark.parametrize("scale", [0.0, 1e-8, 1.0, 1e8])
def test_gradients_stay_finite_at_the_extremes(views, temperature, scale):
  def mean_loss(x):
    return nt_xent(x, temperature=temperature).mean()

  loss, gradient = jax.jit(jax.value_and_grad(mean_loss))(jnp.asarray(views) * scale)
  assert np.isfinite(loss) and np.isfinite(gradient).all()


def test_alone_there_is_nothing_to_tell_apart():
  loss, gradient = jax.value_and_grad(lambda x: nt_xent(x, temperature=0.5).sum())(
    jnp.arange(6.0).reshape(1, 2, 3)
  )
  np.testing.assert_allclose(loss, 0, atol=1e-6)
  np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_a_positive_that_is_nearest_is_correct_and_ties_share(views):
  pairs = np.repeat(views[:, :1], 2, axis=1)  # both views alike, examples not
  found = compare_views(jnp.asarray(pairs), temperature=0.5)
  np.testing.assert_array_equal(found.correct, 1)
  np.testing.assert_allclose(found.similarity, 1, rtol=1e-5)
  same = compare_views(jnp.ones((6, 2, 8)), temperature=0.5)
  np.testing.assert_allclose(same.correct, 1 / 11, rtol=1e-5)


def test_hard_negatives_are_candidates_and_never_positives(views):
  queries, keys = jnp.asarray(views[:, 0]), jnp.asarray(views[:, 1])
  negatives = jnp.asarray(views[::-1, 1] * 2)
  z = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, keys, negatives)]
  scores = np.exp(np.concatenate([z[0] @ z[1].T, z[0] @ z[2].T], axis=1) / 0.2)
  expected = -np.log(np.diag(scores) / scores.sum(axis=1))
  ours = compare_pairs(queries, keys, temperature=0.2, negatives=negatives)
  np.testing.assert_allclose(ours.loss, expected, atol=1e-4)


def test_uniformity_is_that_of_all_pairs(views):
  z = views[:, 0] / np.linalg.norm(views[:, 0], axis=1, keepdims=True)
  squared = np.square(z[:, None] - z[None]).sum(-1)
  pairs = np.exp(-2 * squared)[~np.eye(len(z), dtype=bool)]
  np.testing.assert_allclose(uniformity(jnp.asarray(z)), np.log(pairs.mean()), rtol=1e-4)


def test_low_precision_projections_are_compared_in_float32(views):
  half = jnp.asarray(views).astype(jnp.bfloat16)
  loss = nt_xent(half, temperature=0.5)
  assert loss.dtype == jnp.float32
  np.testing.assert_allclose(loss, nt_xent(half.astype(jnp.float32), temperature=0.5), atol=1e-6)


def test_l2_normalize_gives_unit_length(views):
  np.testing.assert_allclose(
    jnp.linalg.norm(l2_normalize(jnp.asarray(views)), axis=-1), 1, rtol=1e-5
  )
