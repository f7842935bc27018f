"""Layers of a stack treated one by one, what is frozen at first, and the moving average."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine
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


# --- frozen at first -------------------------------------------------------------------------

FROZEN = {"frozen_at_first": ("encoder",), "frozen_steps": 3}


def some_params():
  rng = np.random.default_rng(0)
  shapes = {"encoder": {"mlp": {"kernel": (4, 6), "bias": (6,)}}, "head": {"kernel": (6, 3)}}
  return jax.tree.map(
    lambda shape: rng.normal(size=shape).astype(np.float32),
    shapes,
    is_leaf=lambda x: isinstance(x, tuple),
  )


def steps_of(optimizer, params, grads):
  """Parameters after all gradients, in one program."""
  tx, _ = optimizer.build(params, total_steps=10, batch_size=1, num_examples=None)

  @jax.jit
  def steps(params, grads):
    def step(carry, grad):
      updates, state = tx.update(grad, carry[1], carry[0])
      return (optax.apply_updates(carry[0], updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), grads)[0][0]

  return jax.tree.map(np.asarray, steps(params, jax.tree.map(lambda *x: np.stack(x), *grads)))


def some_gradients(params, count=6):
  rng = np.random.default_rng(1)
  draw = lambda x: rng.normal(size=x.shape).astype(np.float32)
  return [jax.tree.map(draw, params) for _ in range(count)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Later(WarmupCosine):
  """The same schedule three steps on."""

  def build(self, **run):
    factor = super().build(**run)
    return lambda step: factor(step + 3)


@pytest.mark.parametrize("name", ["adamw", pytest.param("muon", marks=pytest.mark.repeat)])
def test_what_is_frozen_at_first_starts_later_as_if_it_were_new(name):
  """Then it moves as by an optimizer that begins there, with the schedule's later values."""
  params = some_params()
  grads = some_gradients(params)
  how = {"learning_rate": 0.1, "name": name, "weight_decay": 0.1}
  optimizer = Optimizer(**how, schedule=WarmupCosine(), **FROZEN)
  held, after = (steps_of(optimizer, params, part) for part in (grads[:3], grads))
  jax.tree.map(np.testing.assert_array_equal, held["encoder"], params["encoder"])
  alone = steps_of(Optimizer(**how, schedule=Later()), params, grads[3:])
  whole = steps_of(Optimizer(**how, schedule=WarmupCosine()), params, grads)
  for part, expected in (("encoder", alone), ("head", whole)):
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, after[part], expected[part])


def test_clipping_leaves_out_what_is_frozen_at_first_until_it_is_trained():
  params = {"a": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)}
  how = {"name": "sgd", "learning_rate": 1.0, "momentum": 0.0, "clip_norm": 5.0}
  optimizer = Optimizer(**how, frozen_at_first=("b",), frozen_steps=1)
  grad = {"a": np.full(1, 6, np.float32), "b": np.full(1, 8, np.float32)}
  once, twice = (steps_of(optimizer, params, [grad] * count) for count in (1, 2))
  np.testing.assert_allclose([once["a"], once["b"]], [[-5], [0]], rtol=1e-6)
  np.testing.assert_allclose([twice["a"], twice["b"]], [[-8], [-4]], rtol=1e-6)


def test_some_may_be_frozen_for_good_and_more_at_first():
  params = some_params()
  how = {"learning_rate": 0.1, "clip_norm": 1.0, "frozen": ("encoder/mlp/bias",)}
  after = steps_of(Optimizer(**how, **FROZEN), params, some_gradients(params))
  moved = jax.tree.map(lambda a, p: not np.array_equal(a, p), after, params)
  assert moved == {"encoder": {"mlp": {"kernel": True, "bias": False}}, "head": {"kernel": True}}


def test_without_frozen_steps_the_state_is_as_it_was():
  """Checkpoints name the arrays of the optimizer by their places."""
  params = some_params()
  run = {"total_steps": 10, "batch_size": 1, "num_examples": None}
  state = Optimizer(learning_rate=0.1, clip_norm=1.0).build(params, **run)[0].init(params)
  assert [type(part).__name__ for part in state] == [
    "EmptyState",
    "ScaleByAdamState",
    "ScaleByScheduleState",
  ]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"frozen_at_first": ("heat",)}, "'heat' fits no parameter"),
    ({"frozen_steps": 0}, "frozen_steps=0: expected both or neither"),
    ({"frozen_at_first": ()}, "frozen_steps=3: expected both or neither"),
  ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
  params = some_params()
  with pytest.raises(ValueError, match=message):
    steps_of(Optimizer(learning_rate=0.1, **(FROZEN | changes)), params, some_gradients(params, 1))
