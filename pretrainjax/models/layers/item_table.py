"""The table of a catalogue's items: looked up by number, compared with as a whole."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax import collectives
from pretrainjax.ranges import NonNegativeFloat, PositiveInt

# The number of rows is a multiple of it, so that any usual number of devices can share them.
_MULTIPLE = 128
# The logit of rows that are no item.
_NEVER = float(np.finfo(np.float32).min) / 2


def whole_rows(count: int) -> int:
  """So many rows, or the few more that devices share evenly."""
  return -(-count // _MULTIPLE) * _MULTIPLE


class ItemTable(nnx.Module):
  """A vector an item, and perhaps a bias; row 0 is padding, the row after the last item [MASK].

  On a mesh its rows are cut over devices, and each looks up what it has, see `train/sharding`.

  Args:
    num_items: items of the catalogue, whose numbers are 1 to this.
    embed_dim: width of the vectors, D.
    use_bias: whether items have a bias, which is added to their scores.
    init_std: standard deviation of the truncated normal distribution that vectors start from.
    rngs: keys for the initial values.
  """

  def __init__(
    self,
    *,
    num_items: PositiveInt,
    embed_dim: PositiveInt,
    use_bias: bool = False,
    init_std: NonNegativeFloat = 0.02,
    rngs: nnx.Rngs,
  ):
    self.num_items = num_items
    rows = whole_rows(num_items + 2)
    init = nnx.initializers.truncated_normal(init_std)
    self.item_embedding = nnx.Param(init(rngs.params(), (rows, embed_dim)))
    self.item_bias = nnx.Param(jnp.zeros((rows,), jnp.float32)) if use_bias else None

  @property
  def mask_id(self) -> int:
    """The number of [MASK]."""
    return self.num_items + 1

  def __call__(
    self, items: Int[Array | np.ndarray, "B *T"], *, dtype: str = "float32"
  ) -> Float[Array, "B *T D"]:
    """The vectors of items by number.

    Args:
      items: numbers of items, 0 or `mask_id`.
      dtype: the dtype of the result.
    """
    return collectives.look_up(self.item_embedding[...], jnp.asarray(items), dtype=dtype)

  def biases(self, items: Int[Array, "B *T"]) -> Float[Array, "B *T"] | None:
    """The biases of items by number; None where they have none."""
    if self.item_bias is None:
      return None
    table = self.item_bias[...].reshape(-1, 1)
    return collectives.look_up(table, items).reshape(items.shape)

  def whole(self) -> tuple[Float[Array, "rows D"], Float[Array, " rows"]]:
    """All rows and their biases, of which those that are no item are too low to matter."""
    numbers = jnp.arange(len(self.item_embedding))
    is_item = (numbers >= 1) & (numbers <= self.num_items)
    bias = jnp.zeros(numbers.shape) if self.item_bias is None else self.item_bias[...]
    return self.item_embedding[...], jnp.where(is_item, bias, _NEVER)

  def candidates(self) -> tuple[Float[Array, "V D"], Float[Array, " V"] | None]:
    """The rows of padding and all items, and their biases, see `Recommender`."""
    count = self.num_items + 1
    bias = None if self.item_bias is None else self.item_bias[:count]
    return self.item_embedding[:count], bias
