"""Any flipped bit changes it; nothing else does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrainjax.checkpoint.fingerprint import fingerprint


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 63), st.integers(0, 31))
def test_every_single_bit_counts(index, bit):
  values = np.linspace(-1, 1, 64, dtype=np.float32)
  flipped = values.view(np.uint32).copy()
  flipped[index] ^= np.uint32(1) << np.uint32(bit)
  a = fingerprint({"x": jnp.asarray(values)})
  b = fingerprint({"x": jnp.asarray(flipped.view(np.float32))})
  assert a.keys() == b.keys()
  assert a != b


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "uint8", "bool", "uint32"])
def test_order_matters_for_every_dtype(dtype):
  x = jnp.asarray([0, 1, 0, 1, 1], dtype)
  assert fingerprint(x) == fingerprint(jnp.array(x))
  assert fingerprint(x) != fingerprint(x[::-1])


def test_one_entry_a_leaf_by_path():
  tree = {"a": jnp.zeros(2), "b": (jnp.zeros(3), None)}
  assert set(fingerprint(tree)) == {"['a']", "['b'][0]"}
  assert len(jax.tree.leaves(tree)) == 2


def test_it_is_the_sum_over_the_flat_array():
  """Saved ones stay valid: places are counted without flattening, which would gather shards."""
  x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
  bits, index = x.reshape(-1).view(np.uint32), np.arange(60, dtype=np.uint32)
  weight = index * np.uint32(2246822519) * np.uint32(2) + np.uint32(1)
  expected = np.sum((bits ^ (index * np.uint32(2654435761))) * weight, dtype=np.uint32)
  assert fingerprint({"x": jnp.asarray(x)}) == {"['x']": int(expected)}


def test_every_bit_of_eight_bytes_counts():
  """JAX has no such arrays unless it is told to; a checkpoint of other code may."""
  with jax.enable_x64(True):
    x = np.arange(4, dtype=np.int64)
    whole = fingerprint({"x": jnp.asarray(x)})
    for bit in range(64):
      flipped = x.copy()
      flipped.view(np.uint64)[2] ^= np.uint64(1) << np.uint64(bit)
      assert fingerprint({"x": jnp.asarray(flipped)}) != whole
