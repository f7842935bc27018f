"""Images as sequences of patches, and back."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Num

from pretrainjax.ranges import PositiveInt


class Patches(NamedTuple):
  """Some patches of an input, as an encoder reads them.

  Attributes:
    values: the P values of each.
    real: True for values that are no padding; None where all are.
  """

  values: Float[Array, "B N P"]
  real: Bool[Array, "B N P"] | None = None


def grid_size(
  image_size: int | tuple[int, int], patch_size: int, *, cut_edges: bool = False
) -> tuple[int, int]:
  """The numbers of rows and columns of patches.

  Args:
    image_size: pixels, one number for squares or (height, width).
    patch_size: side of the square patches, in pixels.
    cut_edges: pixels that fill no patch, to the right and below, count for nothing.

  Raises:
    ValueError: where patches do not tile the image, or are larger.

  >>> grid_size(224, 16), grid_size((32, 48), 8)
  ((14, 14), (4, 6))
  """
  height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
  if cut_edges and min(height, width) >= patch_size > 0:
    height, width = height - height % patch_size, width - width % patch_size
  if patch_size < 1 or height < 1 or width < 1 or height % patch_size or width % patch_size:
    raise ValueError(
      f"patch_size={patch_size}: expected a divisor of image_size={height} x {width}"
    )
  return height // patch_size, width // patch_size


def patchify(images: Num[Array | np.ndarray, "B H W C"], patch_size: int) -> Num[Array, "B N P"]:
  """Cuts images into square patches, row by row; within a patch the order is (row, column, C).

  Args:
    images: pixels of any dtype.
    patch_size: side of a patch in pixels; must divide H and W.

  Reference: the order is that of MAE, arXiv 2111.06377.

  >>> patchify(jnp.arange(8).reshape(1, 2, 4, 1), 2).tolist()
  [[[0, 1, 4, 5], [2, 3, 6, 7]]]
  """
  batch, height, width, channels = images.shape
  rows, columns = grid_size((height, width), patch_size)
  split = jnp.asarray(images).reshape(batch, rows, patch_size, columns, patch_size, channels)
  ordered = jnp.swapaxes(split, 2, 3)  # b r p c q k -> b r c p q k
  return ordered.reshape(batch, rows * columns, patch_size * patch_size * channels)


def unpatchify(
  patches: Num[Array, "B N P"], patch_size: int, grid: tuple[int, int]
) -> Num[Array, "B H W C"]:
  """Undoes `patchify`.

  Args:
    patches: the patches in the order of `patchify`.
    patch_size: side of a patch in pixels.
    grid: rows and columns of patches.

  Raises:
    ValueError: where the number of patches is not that of the grid.
  """
  batch, count, _ = patches.shape
  rows, columns = grid
  if count != rows * columns:
    raise ValueError(f"grid={rows} x {columns}: found {count} patches")
  split = patches.reshape(batch, rows, columns, patch_size, patch_size, -1)
  ordered = jnp.einsum("brcpqk->brpcqk", split)
  return ordered.reshape(batch, rows * patch_size, columns * patch_size, -1)


class PatchEmbed(nnx.Module):
  """A linear map from pixels of a patch to a token.

  A convolution with stride patch_size is the same sum; as a matrix product it can be applied to
  the visible patches only.

  Args:
    patch_dim: values of a patch, P.
    embed_dim: width of a token, D.
    use_bias: whether there is a bias.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial values (Xavier uniform over (P, D) as in MAE, bias 0).
  """

  def __init__(
    self,
    *,
    patch_dim: PositiveInt,
    embed_dim: PositiveInt,
    use_bias: bool = True,
    dtype: str = "float32",
    rngs: nnx.Rngs,
  ):
    init = nnx.initializers.xavier_uniform()
    self.dtype = dtype
    self.kernel = nnx.Param(init(rngs.params(), (patch_dim, embed_dim), jnp.float32))
    self.bias = nnx.Param(jnp.zeros((embed_dim,), jnp.float32)) if use_bias else None

  def __call__(self, patches: Float[Array, "B N P"]) -> Float[Array, "B N D"]:
    """Embeds each patch."""
    x = patches.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
    return x if self.bias is None else x + self.bias[...].astype(self.dtype).reshape(1, 1, -1)
