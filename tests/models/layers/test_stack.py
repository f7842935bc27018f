import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.layers.attention import Cache
from pretrainjax.models.layers.block import Block
from pretrainjax.models.layers.rotary import rotary_angles
from pretrainjax.models.layers.scope import Scope
from pretrainjax.models.layers.stack import (
  first_layers,
  make_stack,
  run_stack,
  step_layers,
  unstack,
)

SIZES = {"embed_dim": 8, "num_heads": 2, "mlp_dim": 12}
X = jax.random.normal(jax.random.key(0), (3, 5, 8))


@pytest.fixture(scope="module")
def stack():
  return make_stack(4, rngs=nnx.Rngs(0), **SIZES)


def loss_and_gradient(stack, *, seed=None, **options):
  graphdef, params = nnx.split(stack)

  def loss(params):
    rngs = None if seed is None else nnx.Rngs(seed)
    return jnp.sum(jnp.square(run_stack(nnx.merge(graphdef, params), X, rngs=rngs, **options)))

  @jax.jit
  def value_and_grad(params):
    return jax.value_and_grad(loss)(params)

  return value_and_grad(params)


def assert_close(a, b):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4), a, b)


def test_stack_is_its_blocks_one_after_the_other(stack):
  graphdef, state = nnx.split(stack)
  x = X
  for i in range(4):
    x = nnx.merge(graphdef, jax.tree.map(lambda a, i=i: a[i], state))(x)
  np.testing.assert_allclose(run_stack(stack, X), x, atol=1e-5)


def test_layers_start_different(stack):
  kernels = stack.mlp.up.kernel[...]
  assert kernels.shape == (4, 8, 12)
  assert (kernels[0] != kernels[1]).any()


@pytest.mark.parametrize("options", [{"unroll": 2}, {"unroll": 3}, {"unroll": 99}])
def test_unrolled_equals_scanned(stack, options):
  assert_close(loss_and_gradient(stack), loss_and_gradient(stack, **options))


@pytest.mark.parametrize("remat", ["full", "dots"])
@pytest.mark.parametrize("unroll", [1, 4])
def test_remat_changes_no_number(stack, remat, unroll):
  options = {"remat": remat, "unroll": unroll}
  assert_close(loss_and_gradient(stack), loss_and_gradient(stack, **options))


def test_remat_repeats_the_same_randomness():
  stack = make_stack(3, rngs=nnx.Rngs(0), dropout=0.3, **SIZES)
  results = [
    loss_and_gradient(stack, remat=remat, drop_path=0.5, deterministic=False, seed=5)
    for remat in ("none", "full")
  ]
  assert_close(*results)


def test_drop_path_rises_from_zero_to_the_last_layer():
  """Each layer adds 1 to every token, so what comes out counts the layers that took part."""
  stack = make_stack(3, rngs=nnx.Rngs(0), **SIZES)
  graphdef, state = nnx.split(stack)
  stack = nnx.merge(graphdef, jax.tree.map(jnp.zeros_like, state))
  stack.attention.out.bias[...] = jnp.ones((3, 8))
  x = jnp.zeros((6000, 1, 8))
  y = run_stack(stack, x, drop_path=0.6, deterministic=False, rngs=nnx.Rngs(0))[:, 0, 0]
  # Kept branches are divided by what stays of them: 1, 0.7 and 0.4.
  outcomes, counts = np.unique(np.round(np.asarray(y), 3), return_counts=True)
  np.testing.assert_allclose(
    outcomes, [1, 1 + 1 / 0.7, 1 + 1 / 0.4, 1 + 1 / 0.7 + 1 / 0.4], atol=1e-3
  )
  np.testing.assert_allclose(counts / 6000, [0.3 * 0.6, 0.7 * 0.6, 0.3 * 0.4, 0.7 * 0.4], atol=0.03)


def test_layers_draw_different_paths():
  stack = make_stack(2, rngs=nnx.Rngs(0), dropout=0.5, **SIZES)
  run = [run_stack(stack, X, deterministic=False, rngs=nnx.Rngs(seed)) for seed in (0, 0, 1)]
  np.testing.assert_array_equal(run[0], run[1])
  assert (run[0] != run[2]).any()


def test_layer_scale_of_zero_is_the_identity():
  block = Block(layer_scale=0.0, rngs=nnx.Rngs(0), **SIZES)
  np.testing.assert_array_equal(block(X), X)


def test_padding_does_not_matter(stack):
  valid = jnp.broadcast_to(jnp.arange(5) < 3, (3, 5))
  np.testing.assert_allclose(
    run_stack(stack, X, scopes=[Scope(valid=valid)])[:, :3], run_stack(stack, X[:, :3]), atol=1e-5
  )


def test_mistakes_are_named(stack):
  with pytest.raises(ValueError, match="needs rngs="):
    run_stack(stack, X, drop_path=0.5, deterministic=False)
  with pytest.raises(ValueError, match="num_layers=0"):
    make_stack(0, rngs=nnx.Rngs(0), **SIZES)


@pytest.mark.parametrize("num_layers", [4, 5, 1])
def test_layers_take_turns_with_scopes(num_layers):
  blocks = make_stack(num_layers, rngs=nnx.Rngs(0), **SIZES)
  scopes = [Scope(), Scope(window=1)]
  graphdef, state = nnx.split(blocks)
  x = X
  for i in range(num_layers):
    block = nnx.merge(graphdef, jax.tree.map(lambda a, i=i: a[i], state))
    x = block(x, scope=scopes[i % 2])
  np.testing.assert_allclose(run_stack(blocks, X, scopes=scopes), x, atol=1e-5)


def test_step_by_step_equals_all_at_once():
  """Rows of different lengths, read in two parts: a beginning, then token after token."""
  blocks = make_stack(3, rngs=nnx.Rngs(0), num_kv_heads=1, **SIZES)
  places = jnp.broadcast_to(jnp.arange(5)[None], (3, 5))
  angles = rotary_angles(places, head_dim=4, theta=100.0)
  whole = run_stack(blocks, X, scopes=[Scope(causal=True, rotary=angles)])
  empty = jnp.zeros((3, 6, 1, 4))
  layers, caches = unstack(blocks), (Cache(empty, empty),) * 3
  for start, end in ((0, 3), (3, 4), (4, 5)):
    part = rotary_angles(places[:, start:end], head_dim=4, theta=100.0)
    y, caches = step_layers(
      layers, X[:, start:end], caches, positions=places[:, start:end], rotary=part
    )
    np.testing.assert_allclose(y, whole[:, start:end], atol=1e-5)


def step_in_a_loop(blocks, x, cache, **options):
  """`step_layers` as a scan over the stack; every array of the cache is one a layer."""
  graphdef, stacked = nnx.split(blocks)

  def layer(x, state_and_cache):
    state, layer_cache = state_and_cache
    return nnx.merge(graphdef, state).step(x, layer_cache, **options)

  return jax.lax.scan(layer, x, (stacked, cache))


def test_steps_without_a_loop_are_those_with_one(stack):
  rng = np.random.default_rng(0)
  cache = Cache(*(jnp.asarray(rng.normal(size=(4, 3, 6, 2, 4)), jnp.float32) for _ in range(2)))
  options = {"positions": jnp.array([[2], [5], [0]])}
  y, stepped = step_in_a_loop(stack, X[:, :1], cache, **options)
  caches = [Cache(cache.keys[i], cache.values[i]) for i in range(4)]
  y_layers, caches = step_layers(unstack(stack), X[:, :1], caches, **options)
  np.testing.assert_allclose(y_layers, y, atol=1e-6)
  for i, cache in enumerate(caches):
    np.testing.assert_allclose(cache.keys, stepped.keys[i], atol=1e-6)
    np.testing.assert_allclose(cache.values, stepped.values[i], atol=1e-6)


class Ends(nnx.Module):
  """A stack with a norm behind it."""

  def __init__(self, blocks):
    self.blocks, self.scale = blocks, nnx.Param(jnp.full(8, 3.0))

  def __call__(self, x):
    return run_stack(self.blocks, x) * self.scale[...].reshape(1, 1, -1)


def test_an_encoder_may_end_after_some_layers():
  encoder = Ends(make_stack(3, embed_dim=8, num_heads=2, mlp_dim=8, rngs=nnx.Rngs(0)))
  x = jax.random.normal(jax.random.key(0), (2, 4, 8))
  y = x
  for count, block in enumerate(unstack(encoder.blocks), start=1):
    y = block(y)
    np.testing.assert_allclose(first_layers(encoder, count)(x), y * 3, rtol=1e-5, atol=1e-5)
  for count in (0, 4):
    with pytest.raises(ValueError, match=f"found layer {count}, expected 1 to 3"):
      first_layers(encoder, count)
