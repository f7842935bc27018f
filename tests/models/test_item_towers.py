"""Two towers: unit vectors, side features, histories that are empty, all items at once."""

import item_objectives as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models import item_towers
from pretrainjax.models.item_towers import SideFeatures
from pretrainjax.models.layers.item_table import whole_rows
from pretrainjax.types import Recommender

SIDE = {"num_item_features": 6, "features_per_item": 2}
SIDE |= {"num_user_features": 3, "features_per_user": 1}


def made(**changes):
  encoder = tiny.merged_encoder(tiny.towers(**changes))
  rng = np.random.default_rng(0)
  for side, most in ((encoder.item_side, 7), (encoder.user_side, 4)):
    if side is not None:
      side.known[...] = jnp.asarray(rng.integers(0, most, side.known.shape), jnp.int32)
  return encoder


@pytest.mark.parametrize("pool", ["mean", "attention"])
def test_scores_are_cosines_over_the_temperature(pool):
  encoder = made(pool=pool, temperature=0.2, **SIDE)
  assert isinstance(encoder, Recommender)
  batch = tiny.histories(4, length=tiny.LENGTH)
  queries = encoder.queries(encoder(encoder.inputs(batch)))
  vectors, bias = encoder.candidates()
  assert bias is None and vectors.shape == (tiny.NUM_ITEMS + 1, 16)
  np.testing.assert_allclose(jnp.linalg.norm(vectors, axis=1), 1, atol=1e-5)
  np.testing.assert_allclose(jnp.linalg.norm(queries, axis=1), 5, atol=1e-4)
  np.testing.assert_allclose(vectors[3:5], encoder.item_vectors(jnp.array([3, 4])), atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "attention"])
def test_padding_and_who_else_is_there_change_nothing(pool):
  encoder = made(pool=pool)
  batch = tiny.histories(4, length=5)
  longer = batch | {k: np.pad(batch[k], ((0, 0), (0, 2))) for k in ("items", "times")}
  found = [encoder(encoder.inputs(b)).pooled for b in (batch, longer)]
  np.testing.assert_allclose(*found, atol=1e-5)
  alone = {k: v[1:2] for k, v in batch.items()}
  np.testing.assert_allclose(encoder(encoder.inputs(alone)).pooled, found[0][1:2], atol=1e-5)
  assert np.isfinite(found[0]).all()  # of an empty history too


def test_all_vectors_are_made_some_at_a_time(monkeypatch):
  encoder = made(**SIDE)
  whole = encoder.candidates()[0]
  monkeypatch.setattr(item_towers, "_CHUNK", 8)
  np.testing.assert_allclose(encoder.candidates()[0], whole, atol=1e-6)


def test_a_row_s_features_are_the_mean_of_theirs():
  sizes = {"num_rows": 4, "num_features": 3, "per_row": 2, "embed_dim": 5, "init_std": 1.0}
  side = SideFeatures(kind="item", rngs=nnx.Rngs(0), **sizes)
  side.known[...] = side.known[...].at[1].set(jnp.array([2, 3])).at[2].set(jnp.array([1, 0]))
  table, found = side.feature_embedding[...], side(jnp.array([[1, 2, 3]]), dtype="float32")[0]
  np.testing.assert_allclose(found[0], (table[2] + table[3]) / 2, atol=1e-6)
  np.testing.assert_allclose(found[1], table[1], atol=1e-6)
  np.testing.assert_array_equal(found[2], np.zeros(5))


def test_users_without_events_differ_by_their_features():
  encoder = made(**SIDE)
  empty = {k: np.zeros((2, tiny.LENGTH), np.int32) for k in ("items", "times")}
  encoder.user_side.known[...] = encoder.user_side.known[...].at[:2].set(jnp.array([[1], [2]]))
  pooled = encoder(encoder.inputs(empty | {"user": np.arange(2, dtype=np.int32)})).pooled
  assert float(jnp.abs(pooled[0] - pooled[1]).max()) > 1e-2


def test_features_are_not_trained():
  params = nnx.state(made(**SIDE), nnx.Param)
  names = {jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(params)}
  assert not any("item_features" in name or "user_features" in name for name in names)
  assert any("feature_embedding" in name for name in names)


def test_of_somebody_who_is_no_user_of_the_log_nothing_is_known():
  sizes = SIDE | {"num_users": whole_rows(1)}  # a table that nothing pads
  encoder = tiny.merged_encoder(tiny.towers(**sizes))
  encoder.user_side.known[...] = encoder.user_side.known[...].at[: whole_rows(1)].set(1)
  vectors = encoder.user_side(jnp.array([[whole_rows(1) - 1, whole_rows(1)]]), dtype="float32")
  assert vectors[0, 0].any() and not vectors[0, 1].any()
