"""What masked language models do to text before their network sees it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from pretrainjax import collectives
from pretrainjax.masking import choose_tokens
from pretrainjax.types import Text


class Corrupted(NamedTuple):
  """Text with some tokens replaced, and what they were.

  Attributes:
    tokens: what the network reads.
    positions: the positions of the chosen tokens, distinct within a row, in no order.
    labels: the tokens that stood there before.
    valid: False for slots that a row does not fill, whose positions were not chosen.
  """

  tokens: Int[Array, "B T"]
  positions: Int[Array, "B M"]
  labels: Int[Array, "B M"]
  valid: Bool[Array, "B M"]


def corrupt(
  key: Key[Array, ""],
  text: Text,
  *,
  mask_rate: float,
  mask_id: int,
  special_ids: tuple[int, ...],
  vocab_size: int,
  random_share: float = 0.0,
  keep_share: float = 0.0,
  starts: Bool[Array, "B T"] | None = None,
) -> Corrupted:
  """Chooses tokens and replaces them by [MASK], or a random token, or not at all.

  Args:
    key: the step's key for masks, equal on all devices.
    text: the text as it is read from the data.
    mask_rate: share of the tokens that are chosen, in (0, 1), see `masking.choose_tokens`.
    mask_id: the id of [MASK].
    special_ids: tokens that are never chosen, nor put in place of others.
    vocab_size: the size V of the vocabulary; random tokens are drawn uniformly from it.
    random_share: the share of the chosen tokens that a random one replaces, in [0, 1].
    keep_share: the share of the chosen tokens that stay as they are, in [0, 1].
    starts: True where a word begins, to choose whole words; None chooses single tokens.

  Reference: arXiv 1810.04805, section 3.1. Ours differs in that random tokens are no special ones.
  """
  tokens = jnp.asarray(text.tokens)
  place_key, way_key, token_key = (jax.random.fold_in(key, i) for i in range(3))
  candidates = ordinary(text, special_ids)
  chosen = choose_tokens(place_key, candidates, mask_rate=mask_rate, starts=starts)
  labels = jnp.take_along_axis(tokens, chosen.positions, axis=1)

  shape = chosen.positions.shape
  way = example_uniform(way_key, shape)
  ids = np.setdiff1d(np.arange(vocab_size), special_ids).astype(np.int32)
  drawn = jnp.asarray(ids)[(example_uniform(token_key, shape) * len(ids)).astype(int)]
  new = jnp.where(way < 1 - keep_share, drawn, labels)
  new = jnp.where(way < 1 - keep_share - random_share, mask_id, new)
  return Corrupted(
    tokens=fill(tokens, chosen.positions, jnp.where(chosen.valid, new, labels)),
    positions=chosen.positions,
    labels=labels,
    valid=chosen.valid,
  )


def ordinary(text: Text, special_ids: tuple[int, ...]) -> Bool[Array, "B T"]:
  """A mask, True for tokens that are neither padding nor special."""
  special = jnp.isin(jnp.asarray(text.tokens), jnp.asarray(special_ids, jnp.int32))
  return (jnp.asarray(text.segments) > 0) & ~special


def fill(
  tokens: Int[Array, "B T"], positions: Int[Array, "B M"], values: Int[Array, "B M"]
) -> Int[Array, "B T"]:
  """Puts other tokens at some positions, which are distinct within a row.

  Args:
    tokens: the rows as they are.
    positions: the places that get other tokens.
    values: the tokens to put there.
  """
  rows = jnp.arange(len(tokens))[:, None]
  return tokens.at[rows, positions].set(values.astype(tokens.dtype), unique_indices=True)


def pick(tokens: Float[Array, "B T D"], positions: Int[Array, "B M"]) -> Float[Array, "B M D"]:
  """Takes the features at some positions of each row."""
  return jnp.take_along_axis(tokens, positions[:, :, None], axis=1)


def example_uniform(key: Key[Array, ""], shape: tuple[int, int]) -> Float[Array, "B M"]:
  """Random numbers in [0, 1) that do not depend on how many devices share the batch."""
  keys = collectives.example_keys(key, shape[0])
  return jax.vmap(lambda k: jax.random.uniform(k, shape[1:]))(keys)
