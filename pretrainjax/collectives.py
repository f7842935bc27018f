"""The one place where an objective or a layer meets other devices' examples.

Under `parallel.mode="jit"` arrays are global already and no axis is bound: every function
here is then the identity. Under "pmap" the axis "data" is bound and they communicate.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

AXIS = "data"


def is_bound() -> bool:
  """Whether the caller runs under pmap, with the axis "data"."""
  try:
    jax.lax.axis_index(AXIS)
  except NameError:
    return False
  return True


def mean(tree):
  """The mean over devices of each array of `tree`; differentiable."""
  return jax.lax.pmean(tree, AXIS) if is_bound() else tree


def gather(x: Array) -> Array:
  """All devices' rows of `x` ("B ..." to "devices*B ..."), in device order; differentiable."""
  return jax.lax.all_gather(x, AXIS, tiled=True) if is_bound() else x


def row_offset(batch_size: int):
  """The global index of this device's first row, when each device holds `batch_size` rows."""
  return jax.lax.axis_index(AXIS) * batch_size if is_bound() else 0


def example_keys(key: Key[Array, ""], batch_size: int) -> Key[Array, " B"]:
  """One key an example, the same on any number of devices.

  Drawing a batch's noise from one key would tie it to the layout: device 1 of 2 would draw
  what device 0 draws. Folding in the global row index does not.

  Args:
    key: the step's key for this purpose, equal on all devices.
    batch_size: rows this device holds.
  """
  rows = row_offset(batch_size) + jnp.arange(batch_size)
  return jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)
