"""Names of arrays, and the table of those that do not fit."""

import jax
import jax.numpy as jnp
import optax
import pytest

from pretrainjax.checkpoint.array_names import (
  describe_arrays,
  differences,
  differences_table,
  leaf_at,
  nested_by_name,
  refuse_differences,
)
from pretrainjax.errors import UserError


def test_every_leaf_has_a_name_and_is_found_by_it():
  params = {"b": jnp.ones(3), "a": {"kernel": jnp.zeros((2, 2))}}
  state = {"params": params, "opt_state": optax.adam(1e-3).init(params), "ema": None}
  tree = nested_by_name(state)
  assert set(tree["opt_state"]["0"]) == {"count", "mu", "nu"}  # fields of a tuple, by their names
  again = jax.tree_util.tree_map_with_path(lambda path, _: leaf_at(tree, path), state)
  assert jax.tree.structure(again) == jax.tree.structure(state)
  assert all(a is b for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True))


def test_shapes_dtypes_and_absence_differ():
  saved = {
    "opt_state": jnp.ones(1),
    "x": jnp.ones((2, 3)),
    "y": {"z": jnp.ones(4)},
    "same": jnp.ones(1),
  }
  wanted = {"x": jnp.ones((2, 3), jnp.bfloat16), "y": {"w": jnp.ones(4)}, "same": jnp.ones(1)}
  assert differences(describe_arrays(saved), describe_arrays(wanted)) == [
    ("x", "float32[2, 3]", "bfloat16[2, 3]"),
    ("y.w", "absent", "float32[4]"),
    ("y.z", "float32[4]", "absent"),
    ("opt_state", "float32[1]", "absent"),
  ]
  assert differences(describe_arrays(saved), describe_arrays(saved)) == []


def test_the_table_is_logged_and_its_beginning_raised_in_one_line(caplog):
  wanted = {f"layer{i:02d}.kernel": "float32[4, 4]" for i in range(50)}
  rows = differences({}, wanted)
  with pytest.raises(
    UserError, match="^run/7: 50 arrays do not fit: layer00.kernel saved"
  ) as found:
    refuse_differences(rows, "run/7", hint="do this")
  assert "and 47 more in the table above; do this" in str(found.value)
  assert "\n" not in str(found.value)
  assert differences_table(rows) in caplog.text
  lines = differences_table(rows).splitlines()
  assert lines[0].split() == ["path", "saved", "wanted"]
  assert lines[1].split() == ["layer00.kernel", "absent", "float32[4,", "4]"]
  assert lines[-1].strip() == "and 10 more"
  refuse_differences([], "run/7", hint="do this")
