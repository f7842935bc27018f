"""Layers of a stack treated one by one, and the moving average."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pretrainjax.train.transforms import ema_update, per_layer, with_standard_promotion


def stacks():
  rng = np.random.default_rng(0)

  def draw(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  return {
    "encoder": {"blocks": {"kernel": draw(3, 4, 5), "bias": draw(3, 5)}},
    "decoder": {"blocks": {"kernel": draw(2, 5, 4)}},
    "head": {"kernel": draw(4, 2)},
  }


def test_per_layer_is_the_same_as_layer_by_layer():
  params = stacks()
  tx = per_layer(optax.scale_by_trust_ratio(), params)
  updates, _ = jax.jit(tx.update)(jax.tree.map(jnp.square, params), tx.init(params), params)

  def ratio(update, param):
    return update * np.linalg.norm(param) / np.linalg.norm(update)

  kernel = params["encoder"]["blocks"]["kernel"]
  for layer in range(3):
    np.testing.assert_allclose(
      updates["encoder"]["blocks"]["kernel"][layer],
      ratio(np.square(kernel[layer]), kernel[layer]),
      rtol=1e-5,
    )
  head = params["head"]["kernel"]
  np.testing.assert_allclose(updates["head"]["kernel"], ratio(np.square(head), head), rtol=1e-5)


def test_per_layer_under_a_mask_that_empties_a_group():
  params = stacks()
  mask = {
    "encoder": {"blocks": {"kernel": False, "bias": False}},
    "decoder": {"blocks": {"kernel": True}},
    "head": {"kernel": False},
  }
  tx = optax.masked(per_layer(optax.scale_by_factored_rms(), params), mask)
  updates, state = tx.update(params, tx.init(params), params)
  np.testing.assert_array_equal(updates["head"]["kernel"], params["head"]["kernel"])
  assert np.abs(updates["decoder"]["blocks"]["kernel"]).std() < 1e-3, "sign-like in the first step"
  tx.update(params, state, params)


def test_usual_promotion_inside_of_strict():
  params = {"kernel": jnp.ones((2, 2))}
  with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
    tx = with_standard_promotion(optax.adamw(1e-3))
    jax.jit(tx.update)(params, tx.init(params), params)


def test_ema_warm_start():
  ema, params = {"w": jnp.float32(0.0)}, {"w": jnp.float32(1.0)}
  assert ema_update(ema, params, 0.99, 0)["w"] == pytest.approx(0.9), "decay 1/10"
  late = ema_update(ema, params, 0.99, jnp.int32(10_000))["w"]
  assert late == pytest.approx(0.01, rel=1e-4)


def test_ema_forgets_the_start():
  ema = {"w": jnp.float32(1.0)}
  with jax.numpy_dtype_promotion("strict"):
    for step in range(200):
      ema = ema_update(ema, {"w": jnp.float32(0.0)}, 0.999, jnp.int32(step))
  assert ema["w"] < 1e-6, "plain averaging would have kept 82%"
