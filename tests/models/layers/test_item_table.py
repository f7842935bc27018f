"""The table of items: rows that are no item, biases, and the rows that devices share."""

import math

import item_objectives as tiny
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import PartitionSpec as P

from pretrainjax.models.layers.item_table import ItemTable, whole_rows
from pretrainjax.objectives.split import abstract_split
from pretrainjax.train.sharding import spec_of, state_specs


def test_rows_that_are_no_item_can_never_win():
  table = ItemTable(num_items=5, embed_dim=4, use_bias=True, rngs=nnx.Rngs(0))
  table.item_bias[...] = jnp.arange(128.0)
  rows, bias = table.whole()
  assert rows.shape == (128, 4) and table.mask_id == 6
  assert bias[1:6].tolist() == [1, 2, 3, 4, 5]
  assert (bias[jnp.array([0, 6, 127])] < -1e38).all()
  vectors, biases = table.candidates()
  np.testing.assert_array_equal(vectors, rows[:6])
  assert biases is not None and biases.shape == (6,)


def test_vectors_and_biases_by_number():
  table = ItemTable(num_items=5, embed_dim=4, use_bias=True, rngs=nnx.Rngs(0))
  table.item_bias[...] = jnp.arange(128.0)
  items = jnp.array([[3, 6], [0, 1]])
  np.testing.assert_array_equal(table(items), table.item_embedding[items])
  assert table.biases(items).tolist() == [[3, 6], [0, 1]]
  assert ItemTable(num_items=5, embed_dim=4, rngs=nnx.Rngs(0)).biases(items) is None


def test_rows_are_cut_over_all_devices_that_share_parameters():
  assert (whole_rows(1), whole_rows(128), whole_rows(129)) == (128, 128, 256)
  sizes = {"data": 2, "fsdp": 8, "tensor": 4, "context": 1}
  path = "params/encoder/table/item_embedding"
  assert spec_of(path, (1_000_064, 64), sizes) == P(("fsdp", "tensor"), None)
  assert spec_of("opt_state/0/mu/encoder/table/item_bias", (1_000_064,), sizes) == P(
    ("fsdp", "tensor")
  )
  assert spec_of("params/encoder/item_side/item_features", (1_000_064, 4), sizes)[0] is not None
  assert spec_of(path, (128, 64), sizes) == P(None, None)  # too small to be worth it
  assert spec_of(path, (1_000_001, 64), sizes)[0] is None


def test_a_hundred_million_items_lie_on_sixty_four_devices_a_sixty_fourth_on_each():
  many = tiny.transformer(num_items=10**8, embed_dim=64, mlp_dim=256)
  _, params, _ = abstract_split(tiny.next_item(backbone=many))
  sizes = {"data": 1, "fsdp": 64, "tensor": 1, "context": 1}
  specs = jax.tree.leaves(state_specs(params, sizes), is_leaf=lambda x: isinstance(x, P))
  shapes = [leaf.shape for leaf in jax.tree.leaves(params)]
  whole = sum(math.prod(shape) for shape in shapes)
  here = sum(
    math.prod(shape) / math.prod(sizes[name] for axis in spec if axis for name in np.ravel(axis))
    for shape, spec in zip(shapes, specs, strict=True)
  )
  assert whole > 64e8 and here < 1.001 * whole / 64
