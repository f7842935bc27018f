"""Stacks of blocks that run as one scan.

A stack is one `Block` whose every array has a leading layer axis. It compiles once however
deep it is, and its parameters stay few: models keep it under the name "blocks", which is how
optimizer, sharding and converters know of that axis.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax import collectives
from pretrainjax.models.layers.attention import Cache, Remembered
from pretrainjax.models.layers.block import Block
from pretrainjax.models.layers.scope import Rotary, Scope
from pretrainjax.ranges import PositiveInt

Module = TypeVar("Module", bound=nnx.Module)
# What the backward pass finds saved of a layer: "none" all (no recomputation), "dots" the
# results of weight matrices, "full" only the layer's input.
Remat = Literal["none", "dots", "full"]


def make_stack(
  num_layers: int, *, kind: type[Any] = Block, rngs: nnx.Rngs, **block_arguments
) -> Any:
  """Makes `num_layers` blocks as one whose arrays have a leading layer axis.

  Args:
    num_layers: number of blocks, at least 1.
    kind: the class of the blocks, whose call is that of `Block`.
    rngs: keys for the initial values.
    **block_arguments: the arguments of `Block`, the same for all layers.
  """
  if num_layers < 1:
    raise ValueError(f"num_layers={num_layers}: expected at least 1")
  keys = jax.random.split(rngs.params(), num_layers)
  return nnx.vmap(lambda key: kind(rngs=nnx.Rngs(key), **block_arguments))(keys)


def run_stack(
  blocks: Any,
  x: Float[Array, "B N D"],
  *,
  scopes: Sequence[Scope] = (Scope(),),
  context: Float[Array, "B S D"] | None = None,
  context_scope: Scope = Scope(),
  drop_path: float = 0.0,
  remat: Remat = "none",
  unroll: int = 1,
  deterministic: bool = True,
  rngs: nnx.Rngs | None = None,
) -> Float[Array, "B N D"]:
  """Runs a stack of `make_stack` as one scan over its layers.

  Args:
    blocks: the stack of `make_stack`.
    x: the tokens that enter the first layer.
    scopes: what tokens see; layers take turns with them, layer i has scopes[i % len(scopes)].
    context: what blocks with `cross` attend to.
    context_scope: what tokens see of it.
    drop_path: rate of the last layer; the first has 0, those between lie on a line.
    remat: what is recomputed in the backward pass instead of kept.
    unroll: turns that a loop iteration holds; more is compiled slower and may run faster.
    deterministic: True switches dropout and drop path off.
    rngs: keys for this call, needed by what is switched on.

  Raises:
    ValueError: for randomness without `rngs`.
  """
  graphdef, stacked = nnx.split(blocks)
  num_layers = jax.tree.leaves(stacked)[0].shape[0]
  random = not deterministic and (drop_path > 0 or blocks.is_random)
  if random and rngs is None:
    raise ValueError("deterministic=False with dropout or drop path needs rngs=")
  keys = jax.random.split(rngs.dropout(), num_layers) if random else None
  rates = jnp.linspace(0.0, drop_path, num_layers) if random and drop_path > 0 else None

  def layer(x, state_rate_key, scope: Scope):
    state, rate, key = state_rate_key
    # Or the compiler may rather cut features than gather a layer's weights.
    x = collectives.constrain(x, collectives.ROWS, "context", None)
    return nnx.merge(graphdef, state)(
      x,
      scope=scope,
      context=context,
      context_scope=context_scope,
      drop_path_rate=rate,
      deterministic=deterministic,
      rngs=None if key is None else nnx.Rngs(key),
    )

  layers = [
    _rematerialised(lambda x, part, scope=scope: layer(x, part, scope), remat, unroll == 1)
    for scope in scopes
  ]
  return _scan_in_turns(layers, x, (stacked, rates, keys), num_layers, unroll)


def unstack(blocks: Block) -> list[Block]:
  """The blocks of a stack one by one, with arrays of their own."""
  graphdef, stacked = nnx.split(blocks)
  num_layers = jax.tree.leaves(stacked)[0].shape[0]
  parts = (jax.tree.map(lambda a, i=i: a[i], stacked) for i in range(num_layers))
  return [nnx.merge(graphdef, part) for part in parts]


def first_layers(encoder: Module, count: int) -> Module:
  """An encoder that ends after some layers of its stack, "blocks"; arrays are shared.

  Args:
    encoder: the encoder that is cut.
    count: how many layers it keeps, at least 1. What follows the stack, a norm, stays.

  Raises:
    ValueError: for more layers than there are.
  """
  graphdef, state = nnx.split(encoder)
  flat = nnx.to_flat_state(state)
  depth = min(leaf.shape[0] for path, leaf in flat if path[0] == "blocks")
  if not 1 <= count <= depth:
    raise ValueError(f"found layer {count}, expected 1 to {depth}")
  cut = [
    (path, leaf.replace(leaf[...][:count]) if path[0] == "blocks" else leaf) for path, leaf in flat
  ]
  return nnx.merge(graphdef, nnx.from_flat_state(cut))


def step_layers(
  layers: Sequence[Block],
  x: Float[Array, "B N D"],
  caches: Sequence[Cache],
  *,
  positions: Int[Array, "B N"],
  rotary: Rotary | None = None,
  window: PositiveInt | None = None,
  contexts: Sequence[Remembered] | None = None,
  context_valid: Bool[Array, "B S"] | None = None,
) -> tuple[Float[Array, "B N D"], tuple[Cache, ...]]:
  """Reads some more tokens, see `Attention.step`, with the blocks of `unstack`.

  Not a scan over the stack: on a CPU it copies each layer's weights before it uses them, which for
  a single token takes as long as the products (docs/log.md).

  Args:
    layers: the blocks, in their order.
    x: the features of the next tokens.
    caches: the cache of each block.
    positions: places of `x` in their sequences.
    rotary: angles of these places.
    window: tokens see at most so many places before theirs; None is no limit.
    contexts: of blocks with `cross` what each attends to, see `Attention.remember`.
    context_valid: True for what is present of it; None means all.
  """
  new, places = [], {"positions": positions, "rotary": rotary, "window": window}
  for i, (layer, cache) in enumerate(zip(layers, caches, strict=True)):
    context = None if contexts is None else contexts[i]
    x, cache = layer.step(x, cache, context=context, context_valid=context_valid, **places)
    new.append(cache)
  return x, tuple(new)


def _scan_in_turns(layers: Sequence[Callable], x, parts: Any, num_layers: int, unroll: int):
  """Scans over whole turns of `layers`; what is left of the last turn comes after."""
  period = len(layers)
  turns, whole = num_layers // period, num_layers // period * period

  def turn(x, part):
    for i, layer in enumerate(layers):
      x = layer(x, part if period == 1 else jax.tree.map(lambda a, i=i: a[i], part))
    return x, None

  if turns:
    scanned = parts
    if period > 1:
      scanned = jax.tree.map(lambda a: a[:whole].reshape(turns, period, *a.shape[1:]), parts)
    x, _ = jax.lax.scan(turn, x, scanned, unroll=min(unroll, turns))
  for i in range(whole, num_layers):
    x = layers[i - whole](x, jax.tree.map(lambda a, i=i: a[i], parts))
  return x


def _rematerialised(layer, remat: Remat, in_loop: bool):
  if remat == "none":
    return layer
  policies = jax.checkpoint_policies
  policy = policies.dots_with_no_batch_dims_saveable if remat == "dots" else None
  # A loop keeps XLA from merging the recomputation with the original; unrolled it must be told.
  return jax.checkpoint(layer, policy=policy, prevent_cse=not in_loop)
