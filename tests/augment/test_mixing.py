import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pretrainjax.augment import mixing

KEY = jax.random.key(0)
mixup = jax.jit(mixing.mixup, static_argnames="alpha")
cutmix = jax.jit(mixing.cutmix, static_argnames="alpha")
mixup_or_cutmix = jax.jit(mixing.mixup_or_cutmix, static_argnames=("mixup_alpha", "cutmix_alpha"))
partners = jax.jit(mixing.partners)
B = 8


@pytest.fixture
def batch():
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.random((B, 10, 12, 3), np.float32))
  # One-hot labels of the row number give shares and partners away.
  return images, jnp.eye(B)


def test_partners_are_a_permutation_without_fixed_points():
  for seed in range(20):
    rows = np.asarray(partners(jnp.arange(B), jax.random.key(seed)))
    assert sorted(rows) == list(range(B)) and (rows != np.arange(B)).all()
  assert partners(jnp.arange(1), KEY).tolist() == [0]


def test_mixup_blends_images_and_labels_by_the_same_share(batch):
  images, labels = batch
  mixed, mixed_labels = mixup(images, labels, alpha=0.8, key=KEY)
  expected = np.einsum("bp,phwc->bhwc", mixed_labels, images)
  np.testing.assert_allclose(mixed, expected, atol=1e-6)
  np.testing.assert_allclose(mixed_labels.sum(axis=1), 1, atol=1e-6)
  assert len(np.unique(np.diag(mixed_labels).round(5))) == B  # a share per image


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0])
def test_shares_follow_beta(alpha):
  labels = jnp.eye(2000)
  _, mixed = mixup(jnp.zeros((2000, 1, 1, 1)), labels, alpha=alpha, key=KEY)
  assert scipy.stats.kstest(np.diag(mixed), scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_cutmix_pastes_one_rectangle_and_labels_count_pixels(batch):
  images, labels = batch
  mixed, labels = cutmix(images, labels, alpha=1.0, key=KEY)
  mixed, labels = np.asarray(mixed), np.asarray(labels)
  for row in range(B):
    off_diagonal = np.delete(labels[row], row)
    partner = int(np.argmax(np.where(np.arange(B) == row, -1, labels[row])))
    own = (mixed[row] == images[row]).all(-1)
    pasted = (mixed[row] == images[partner]).all(-1)
    np.testing.assert_array_equal(own, ~pasted)
    if pasted.any():
      rows, columns = np.nonzero(pasted)
      assert pasted.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    np.testing.assert_allclose(labels[row, row], own.mean(), atol=1e-6)
    np.testing.assert_allclose(off_diagonal.sum(), pasted.mean(), atol=1e-6)


def test_cutmix_areas_are_about_the_shares():
  images = jnp.zeros((2000, 32, 32, 1))
  _, labels = cutmix(images, jnp.eye(2000), alpha=1.0, key=KEY)
  own = np.diag(labels)
  # Uniform shares would keep 0.5; what falls off the border is kept too.
  assert 0.55 < own.mean() < 0.72 and own.min() < 0.15 and own.max() > 0.99


def test_both_are_used_at_even_odds():
  images = jnp.broadcast_to(jnp.arange(2000.0)[:, None, None, None], (2000, 8, 8, 1))
  labels = jnp.eye(2000)
  mixed, _ = mixup_or_cutmix(images, labels, mixup_alpha=1.0, cutmix_alpha=1.0, key=KEY)
  is_flat = np.ptp(np.asarray(mixed), axis=(1, 2, 3)) == 0
  assert 0.5 < is_flat.mean() < 0.62  # mixup, and the cutmix that pastes all or nothing


def test_bytes_mix_like_floats(batch):
  images, labels = batch
  as_bytes = (images * 255).astype(jnp.uint8)
  for mix in (mixup, cutmix):
    floats = mix(as_bytes.astype(jnp.float32) / 255, labels, alpha=0.8, key=KEY)[0]
    np.testing.assert_allclose(mix(as_bytes, labels, alpha=0.8, key=KEY)[0], floats, atol=1e-6)


def test_switched_off_and_only_one(batch):
  images, labels = batch
  same = mixup_or_cutmix(images, labels, mixup_alpha=0.0, cutmix_alpha=0.0, key=KEY)
  np.testing.assert_array_equal(same[0], images)
  only = mixup_or_cutmix(images, labels, mixup_alpha=0.8, cutmix_alpha=0.0, key=KEY)
  np.testing.assert_allclose(only[0], mixup(images, labels, alpha=0.8, key=KEY)[0], atol=1e-6)
  only = mixup_or_cutmix(images, labels, mixup_alpha=0.0, cutmix_alpha=1.0, key=KEY)
  np.testing.assert_allclose(only[0], cutmix(images, labels, alpha=1.0, key=KEY)[0], atol=1e-6)
