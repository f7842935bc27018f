"""What all encoders of text share: reading their input, looking rows up, one feature a text."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pretrainjax import collectives
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.types import AxisSize, Text

# What is one feature a text: its first token, the mean of its tokens, its last token.
Pool = Literal["cls", "mean", "last"]


def as_text(inputs: Text | Int[Array | np.ndarray, "B T"]) -> Text:
  """Turns what an encoder was given into `Text`.

  Args:
    inputs: text, or tokens alone, which are then one document a row without padding.

  >>> as_text(jnp.array([[7, 8]])).segments.tolist()
  [[1, 1]]
  """
  if isinstance(inputs, Text):
    return inputs
  tokens = jnp.asarray(inputs)
  return Text(tokens, jnp.ones_like(tokens))


def check_length(length: AxisSize, max_length: int) -> None:
  """Refuses rows that are longer than a model's table of positions.

  Raises:
    ValueError: with both lengths.
  """
  if length > max_length:
    raise ValueError(f"rows have {length} tokens: expected at most max_length={max_length}")


def embed(
  table: Float[Array | np.ndarray, "V E"],
  rows: Int[Array | np.ndarray, "B T"],
  *,
  dtype: str = "float32",
) -> Float[Array, "B T E"]:
  """Looks rows of a table up by number: embeddings of tokens, of positions.

  Args:
    table: in float32, in which its gradient is summed.
    rows: each at least 0 and below V; others are not noticed (they become the nearest).
    dtype: the dtype of the result.
  """
  # Gathered along the width first, or the compiler gathers the rows of all devices.
  table = collectives.constrain(jnp.asarray(table), "tensor", None)
  return jnp.take(table, rows, axis=0, mode="clip").astype(dtype)


def embed_types(
  table: Float[Array | np.ndarray, "K E"],
  types: Int[Array | np.ndarray, "B T"] | None,
  *,
  dtype: str = "float32",
) -> Float[Array, "_ _ E"]:
  """Embeddings of the few types of tokens, to be added to those of tokens.

  Args:
    table: one row a type.
    types: None is type 0 everywhere.
    dtype: the dtype of the result.

  Returns:
    "B T E", or "1 1 E" without `types`.
  """
  table = jnp.asarray(table).astype(dtype)
  if types is None:
    return table[None, :1]
  # A product, since the gradient of a look-up would add up all tokens in two rows, one by one.
  chosen = jax.nn.one_hot(types, table.shape[0], dtype=dtype)
  return jnp.einsum("btk,ke->bte", chosen, table)


def pool_text(
  tokens: Float[Array, "B T D"], *, valid: Bool[Array, "B T"], pool: Pool
) -> Float[Array, "B D"]:
  """Pools the tokens of each row into one feature.

  Args:
    tokens: the features of all tokens.
    valid: True for tokens, False for padding, which may stand on either side.
    pool: "cls" is the first token, "mean" the mean of all, "last" the last token.
  """
  if pool == "mean":
    return mean_pool(tokens, valid)
  if pool == "cls":
    place = jnp.argmax(valid, axis=1)
  else:
    place = valid.shape[1] - 1 - jnp.argmax(valid[:, ::-1], axis=1)
  return jnp.take_along_axis(tokens, place[:, None, None], axis=1)[:, 0]  # B T D -> B D
