"""Optimizers against NumPy, and stacked layers against layers on their own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pretrainjax.config import build, spec
from pretrainjax.config.text import from_json, override, to_json
from pretrainjax.errors import UserError
from pretrainjax.train.duration import Duration
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import CosineRamp, WarmupCosine

NAMES = ["adamw", "sgd", "lars", "lamb", "lion", "muon", "adafactor"]
RUN = {"total_steps": 10, "batch_size": 1, "num_examples": None}
NUM_STEPS = 6


def make(params, **arguments):
  return Optimizer(**({"learning_rate": 0.1} | arguments)).build(params, **RUN)


def draw(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def some_params(num_layers=3):
  return {
    "encoder": {
      "patch_embed": {"kernel": draw(0, 12, 8), "bias": draw(1, 8)},
      "cls_token": draw(2, 1, 8),
      "blocks": {
        "norm": {"scale": draw(3, num_layers, 8)},
        "mlp": {"kernel": draw(4, num_layers, 8, 16), "bias": draw(5, num_layers, 16)},
      },
    },
    "head": {"kernel": draw(6, 8, 4)},
  }


def gradients(params):
  """A gradient a step, each layer's of its own size."""

  def one(step):
    leaves, treedef = jax.tree.flatten(params)
    noise = [draw(100 * step + i, *leaf.shape) for i, leaf in enumerate(leaves)]
    grown = [n * np.arange(1, len(n) + 1).reshape(-1, *[1] * (n.ndim - 1)) for n in noise]
    return jax.tree.unflatten(treedef, [np.float32(g) for g in grown])

  return [one(step) for step in range(NUM_STEPS)]


def runner(tx):
  """(params, grads) -> params after those steps; one program for all of them."""

  @jax.jit
  def steps(params, grads):
    def step(carry, grad):
      params, state = carry
      updates, state = tx.update(grad, state, params)
      return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), grads)[0][0]

  def call(params, grads):
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *grads)
    return jax.tree.map(np.asarray, steps(params, stacked))

  return call


def run(tx, params, grads):
  return runner(tx)(params, grads)


def assert_close(actual, expected, **tolerance):
  jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, **tolerance), actual, expected)


@pytest.mark.parametrize("name", NAMES)
def test_lowers_a_quadratic_under_strict_promotion(name):
  params = jax.tree.map(jnp.asarray, some_params())
  how = {"lars": {"learning_rate": 0.02, "trust_coefficient": 1.0}, "sgd": {"learning_rate": 0.02}}
  tx, _ = make(params, name=name, **how.get(name, {"learning_rate": 0.05}))

  def loss(params):
    return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params))

  def step(carry, _):
    params, state = carry
    updates, state = tx.update(jax.grad(loss)(params), state, params)
    return (optax.apply_updates(params, updates), state), None

  with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
    train = jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), length=30)[0][0])
    assert loss(train(params)) < 0.5 * loss(params)


# --- against NumPy, written from the papers, in float64, one layer at a time ----------------

DECAY, RATE = 0.05, 0.1


def one_layer(initial, grads, *, algorithm, is_weight, schedule):
  decay = DECAY if is_weight else 0.0
  w, m, v = np.float64(initial), 0.0, 0.0
  norm = np.linalg.norm
  for t, g in enumerate(grads, 1):
    g, rate = np.float64(g), RATE * schedule(t - 1)
    if algorithm in ("adamw", "lamb"):
      m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g**2
      u = m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-6) + decay * w
      if algorithm == "lamb" and is_weight:
        u = u * norm(w) / norm(u)
      w = w - rate * u
    elif algorithm == "sgd":
      m = 0.9 * m + g + decay * w
      w = w - rate * m
    elif algorithm == "lars":
      u = g + decay * w
      ratio = 0.02 * norm(w) / norm(u) if is_weight else 1.0
      m = 0.9 * m + rate * ratio * u
      w = w - m
    elif algorithm == "lion":
      sign = np.sign(0.8 * m + 0.2 * g)
      w, m = w - rate * (sign + decay * w), 0.95 * m + 0.05 * g
  return w


def reference(params, grads, **how):
  weights = {"encoder/patch_embed/kernel", "encoder/blocks/mlp/kernel", "head/kernel"}

  def leaf(path, initial, *grads):
    name = "/".join(key.key for key in path)
    kind = {"is_weight": name in weights} | how
    if "blocks" not in name:
      return one_layer(initial, grads, **kind)
    layers = range(len(initial))
    return np.stack([one_layer(initial[i], [g[i] for g in grads], **kind) for i in layers])

  return jax.tree_util.tree_map_with_path(leaf, params, *grads)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars", "lamb", "lion"])
def test_against_numpy(name):
  params = some_params()
  grads = gradients(params)
  tx, rate = make(
    params,
    name=name,
    weight_decay=DECAY,
    b1=0.8,
    b2=0.95,
    eps=1e-6,
    trust_coefficient=0.02,
    schedule=WarmupCosine(warmup=Duration(steps=2), final=0.1),
  )

  def schedule(t):
    return t / 2 if t < 2 else 0.1 + 0.9 * np.cos(np.pi * (t - 2) / 8 / 2) ** 2

  expected = reference(params, grads, algorithm=name, schedule=schedule)
  assert_close(run(tx, params, grads), expected, rtol=1e-5, atol=1e-5)
  assert rate(1) == np.float32(RATE / 2) and rate(2) == np.float32(RATE)


def test_nesterov_against_numpy():
  tx, _ = make({"w": draw(0, 3)}, name="sgd", nesterov=True)
  w, m = np.float64(draw(0, 3)), 0.0
  grads = [{"w": draw(i, 3)} for i in range(4)]
  for g in grads:
    m = 0.9 * m + g["w"]
    w = w - 0.1 * (g["w"] + 0.9 * m)
  np.testing.assert_allclose(run(tx, {"w": draw(0, 3)}, grads)["w"], w, rtol=1e-5)


# --- stacked layers are layers -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["lars", "lamb", "muon", "adafactor"])
def test_stacked_equals_unstacked(name):
  # 128 is where Adafactor begins to factor, and 3 layers of 128 would tempt it to factor wrongly.
  params = {
    "blocks": {
      "mlp": {"kernel": draw(0, 3, 128, 129), "bias": draw(1, 3, 8)},
      "norm": {"scale": draw(2, 3, 8)},
    }
  }
  grads = gradients(params)
  how = {"name": name, "weight_decay": 0.05}
  together = run(make(params, **how)[0], params, grads)

  def layer(tree, i):
    return {"single": jax.tree.map(lambda leaf: leaf[i], tree["blocks"])}

  run_alone = runner(make(layer(params, 0), **how)[0])
  for i in range(3):
    alone = run_alone(layer(params, i), [layer(g, i) for g in grads])
    assert_close(layer(together, i), alone, rtol=1e-4, atol=1e-6)


def test_two_stacks_of_different_depth():
  params = {"encoder": some_params(3)["encoder"], "decoder": some_params(2)["encoder"]}
  for name in ("lars", "muon", "adafactor"):
    after = run(make(params, name=name)[0], params, gradients(params)[:1])
    assert not np.array_equal(after["decoder"]["cls_token"], params["decoder"]["cls_token"])


def test_muon_orthogonalises_each_layer():
  params = some_params()
  (grad, *_) = gradients(params)
  after = run(make(params, name="muon", learning_rate=1.0)[0], params, [grad])
  step = params["encoder"]["blocks"]["mlp"]["kernel"] - after["encoder"]["blocks"]["mlp"]["kernel"]
  singular = np.linalg.svd(step / (0.2 * 16**0.5), compute_uv=False)
  assert singular.shape == (3, 8) and (singular > 0.5).all() and (singular < 1.4).all()
  for i in range(3):
    u, _, vt = np.linalg.svd(grad["encoder"]["blocks"]["mlp"]["kernel"][i], full_matrices=False)
    assert np.sum((u @ vt) * step[i]) / np.linalg.norm(u @ vt) / np.linalg.norm(step[i]) > 0.97

  other = run(make(params, name="adamw", learning_rate=1.0)[0], params, [grad])
  for kept in ("patch_embed", "cls_token"):
    assert_close(after["encoder"][kept], other["encoder"][kept], rtol=1e-6)
  assert_close(after["head"], other["head"], rtol=1e-6)


def test_adafactor_is_optaxs():
  params = {"a": {"kernel": draw(0, 130, 128)}, "b": {"bias": draw(1, 8)}}
  grads = gradients(params)
  expected = run(optax.adafactor(0.1), params, grads)
  assert_close(
    run(make(params, name="adafactor")[0], params, grads), expected, rtol=1e-5, atol=1e-6
  )


def test_adafactor_keeps_little():
  params = {"blocks": {"kernel": jnp.ones((4, 128, 256))}}
  state = make(params, name="adafactor")[0].init(params)
  assert sum(leaf.size for leaf in jax.tree.leaves(state)) < 4 * (128 + 256) + 50


# --- layer decay, masks, clipping, freezing, schedules ---------------------------------------


@pytest.mark.parametrize("name", ["adamw", "lars", "muon"])
def test_layer_decay(name):
  params = some_params()
  (grad, *_) = gradients(params)
  how = {"name": name, "weight_decay": 0.05}
  plain = run(make(params, **how)[0], params, [grad])
  decayed = run(make(params, layer_decay=0.5, **how)[0], params, [grad])

  def moved(after, *path):
    for key in path:
      after = after[key]
    return after

  def check(scale, *path):
    start, full, less = (moved(tree, *path) for tree in (params, plain, decayed))
    np.testing.assert_allclose(less - start, scale * (full - start), rtol=1e-3, atol=1e-6)

  check(0.5**4, "encoder", "patch_embed", "kernel")
  check(0.5**4, "encoder", "cls_token")
  check(np.array([0.125, 0.25, 0.5])[:, None, None], "encoder", "blocks", "mlp", "kernel")
  check(np.array([0.125, 0.25, 0.5])[:, None], "encoder", "blocks", "norm", "scale")
  check(1.0, "head", "kernel")


@pytest.mark.parametrize("everything", [False, True])
def test_what_decays(everything):
  params = some_params()
  tx, _ = make(params, weight_decay=0.5, decay_bias_and_norm=everything)
  zero = jax.tree.map(np.zeros_like, params)
  after = run(tx, params, [zero])
  decayed = jax.tree.map(lambda a, p: not np.array_equal(a, p), after, params)
  encoder = decayed["encoder"]
  assert encoder["patch_embed"] == {"kernel": True, "bias": everything}
  assert encoder["cls_token"] is everything
  assert encoder["blocks"]["norm"]["scale"] is everything
  assert encoder["blocks"]["mlp"] == {"kernel": True, "bias": everything}
  np.testing.assert_allclose(after["head"]["kernel"], params["head"]["kernel"] * 0.95, rtol=1e-5)


def test_clipping():
  params = {"a": np.zeros(4, np.float32), "b": np.zeros(9, np.float32)}
  tx, _ = make(params, name="sgd", learning_rate=1.0, momentum=0.0, clip_norm=2.0)
  big = {"a": np.full(4, 3, np.float32), "b": np.full(9, 4, np.float32)}
  norm = np.sqrt(4 * 9 + 9 * 16)
  expected = jax.tree.map(lambda g: -2 * g / norm, big)
  assert_close(run(tx, params, [big]), expected, rtol=1e-6)
  small = jax.tree.map(lambda g: g / 100, big)
  assert_close(run(tx, params, [small]), jax.tree.map(np.negative, small), rtol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "lars", "muon", "adafactor"])
def test_frozen(name):
  params = some_params()
  how = {"name": name, "weight_decay": 0.1, "layer_decay": 0.9, "clip_norm": 1.0}
  tx, _ = make(params, frozen=("*/patch_embed", "encoder/blocks"), **how)
  after = run(tx, params, gradients(params))
  moved = jax.tree.map(lambda a, p: not np.array_equal(a, p), after, params)
  assert not any(jax.tree.leaves((moved["encoder"]["patch_embed"], moved["encoder"]["blocks"])))
  assert moved["encoder"]["cls_token"] and moved["head"]["kernel"]
  whole = make(params, **how)[0].init(params)
  sizes = [sum(leaf.size for leaf in jax.tree.leaves(s)) for s in (tx.init(params), whole)]
  assert sizes[0] < sizes[1], "what is frozen has no state"


def test_clipping_leaves_frozen_gradients_out():
  params = {"a": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)}
  how = {"name": "sgd", "learning_rate": 1.0, "momentum": 0.0, "clip_norm": 2.0}
  tx, _ = make(params, frozen=("b",), **how)
  grad = {"a": np.ones(1, np.float32), "b": np.full(1, 1e9, np.float32)}
  np.testing.assert_array_equal(run(tx, params, [grad])["a"], [-1.0])


def test_weight_decay_schedule():
  params = {"head": {"kernel": np.ones((2, 2), np.float32)}}
  tx, _ = make(params, weight_decay_schedule=CosineRamp(start=0.04, end=0.4))
  zero = jax.tree.map(np.zeros_like, params)
  after = run(tx, params, [zero] * 3)
  decay = 0.4 - 0.36 * np.cos(np.pi * np.arange(3) / 10 / 2) ** 2
  np.testing.assert_allclose(after["head"]["kernel"], np.prod(1 - 0.1 * decay), rtol=1e-5)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lion", "muon"])
def test_momentum_schedule(name):
  params = some_params()
  grads = gradients(params)
  constant = CosineRamp(start=0.7, end=0.7)
  argument = "momentum" if name in ("sgd", "lars", "muon") else "b1"
  scheduled = run(make(params, name=name, momentum_schedule=constant)[0], params, grads)
  fixed = run(make(params, name=name, **{argument: 0.7})[0], params, grads)
  assert_close(scheduled, fixed, rtol=1e-4, atol=1e-5)
  ramp = make(params, name=name, momentum_schedule=CosineRamp(start=0.2, end=0.9))[0]
  ramped = run(ramp, params, grads)["encoder"]["blocks"]["mlp"]["kernel"]
  assert not np.allclose(ramped, fixed["encoder"]["blocks"]["mlp"]["kernel"])


@pytest.mark.parametrize("name", NAMES)
def test_from_shapes_alone(name):
  params = some_params()
  abstract = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params)
  how = {"name": name, "layer_decay": 0.9, "frozen": ("head",), "weight_decay": 0.1}
  tx, _ = make(abstract, **how)
  state = jax.eval_shape(tx.init, abstract)
  assert state == jax.eval_shape(make(params, **how)[0].init, params)
  dtypes = {leaf.dtype for leaf in jax.tree.leaves(state)}
  assert dtypes <= {jnp.dtype("float32"), jnp.dtype("int32")}


# --- refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
  "arguments, message",
  [
    ({"learning_rate": 0.0}, "learning_rate=0.0: expected above 0"),
    ({"learning_rate": float("nan")}, "learning_rate=nan"),
    ({"b2": 1.0}, "b2=1.0: expected"),
    ({"weight_decay": -0.1}, "weight_decay=-0.1"),
    ({"clip_norm": 0.0}, "clip_norm=0.0"),
    ({"layer_decay": 1.1}, "layer_decay=1.1"),
    ({"weight_decay": 0.1, "weight_decay_schedule": CosineRamp(start=0.0, end=1.0)}, "both given"),
    ({"name": "adafactor", "momentum_schedule": CosineRamp(start=0.0, end=0.9)}, "no momentum"),
    ({"frozen": ("heat",)}, "'heat' fits no parameter; did you mean 'head'"),
  ],
)
def test_refused(arguments, message):
  with pytest.raises(ValueError) as error:
    make(some_params(), **arguments)
  assert message in str(error.value) and "\n" not in str(error.value)


def test_a_wrong_name_gives_the_nearest():
  config = spec(Optimizer, learning_rate=0.1)
  config.name = "adamv"
  with pytest.raises(UserError, match="found 'adamv', expected .*did you mean 'adamw'"):
    build(config)


def test_from_a_config_with_flags_and_json():
  config = spec(
    Optimizer,
    learning_rate=1e-3,
    schedule=spec(WarmupCosine, warmup=spec(Duration, epochs=1.0)),
    weight_decay_schedule=spec(CosineRamp, start=0.04, end=0.4),
    frozen=("head",),
  )
  for flag in ("learning_rate=3e-4", "clip_norm=3", "layer_decay=.9", "schedule.warmup.epochs=2"):
    override(config, *flag.split("="))
  assert build(from_json(to_json(config))) == Optimizer(
    learning_rate=3e-4,
    schedule=WarmupCosine(warmup=Duration(epochs=2.0)),
    weight_decay_schedule=CosineRamp(start=0.04, end=0.4),
    clip_norm=3.0,
    layer_decay=0.9,
    frozen=("head",),
  )
