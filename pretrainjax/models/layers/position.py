"""Tables of positions on a grid."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@functools.cache
def sincos_table(embed_dim: int, grid: tuple[int, int]) -> np.ndarray:
  """The fixed 2-D sine-cosine table: first half of the width the column, second half the row.

  Args:
    embed_dim: width, D, a multiple of 4.
    grid: rows and columns of patches.

  Returns:
    float32 "N D", row by row. A class token has no row here: MAE gives it zeros, which is not
    to add anything.

  Raises:
    ValueError: for a width that 4 does not divide.

  Reference: MoCo v3, arXiv 2104.02057, as in the code of MAE, arXiv 2111.06377.
  """
  if embed_dim % 4:
    raise ValueError(f"embed_dim={embed_dim}: sine-cosine positions need a multiple of 4")
  frequencies = 10000.0 ** (-np.arange(embed_dim // 4) / (embed_dim / 4))
  rows, columns = np.indices(grid).reshape(2, -1)  # each N
  angles = [np.outer(place, frequencies) for place in (columns, rows)]
  parts = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
  table = np.concatenate(parts, axis=1).astype(np.float32)
  table.setflags(write=False)  # the cache hands out one array
  return table


def resize_position_table(
  table: Float[Array | np.ndarray, "N D"],
  old_grid: tuple[int, int],
  new_grid: tuple[int, int],
) -> Float[Array, "M D"]:
  """Interpolates a learned table to another grid: bicubic, with antialiasing when it shrinks.

  Args:
    table: "N D", row by row, without class or register tokens.
    old_grid: rows and columns of the table as it is.
    new_grid: rows and columns of the result.

  Raises:
    ValueError: where the table has not the rows of `old_grid`.

  Reference: ViT, arXiv 2010.11929, section 3.2, which interpolates likewise.
  """
  count, width = table.shape
  if count != old_grid[0] * old_grid[1]:
    raise ValueError(f"old_grid={old_grid[0]} x {old_grid[1]}: the table has {count} rows")
  if old_grid == new_grid:
    return jnp.asarray(table)
  image = jnp.asarray(table).reshape(*old_grid, width)
  return jax.image.resize(image, (*new_grid, width), method="cubic").reshape(-1, width)
