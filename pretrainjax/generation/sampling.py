"""Sampling: from logits to one token a row, the best, or drawn from all or from the likely ones."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

# "greedy" takes the best, "plain" draws from all, "filtered" from those that top_k and top_p leave.
Mode = Literal["greedy", "plain", "filtered"]


class SamplingArrays(NamedTuple):
  """The numbers of a `Sampling` as arrays, so that another temperature needs no compilation."""

  temperature: Float[Array, ""]
  top_k: Int[Array, ""]
  top_p: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class Sampling:
  """The way a token is chosen by its logit; settings apply in the order in which they stand here.

  Args:
    temperature: the divisor of the logits; 0 always takes the best, 1 leaves the model's odds.
    top_k: the number of best tokens to draw from; None is all.
    top_p: the probability mass of the fewest best tokens to draw from, in (0, 1] (arXiv
      1904.09751); 1 is all.

  Raises:
    ValueError: for numbers out of range.
  """

  temperature: float | int = 1.0
  top_k: int | None = None
  top_p: float | int = 1.0

  def __post_init__(self):
    if not self.temperature >= 0:
      raise ValueError(f"temperature: found {self.temperature}, expected 0 or above")
    if self.top_k is not None and self.top_k < 1:
      raise ValueError(f"top_k: found {self.top_k}, expected at least 1")
    if not 0 < self.top_p <= 1:
      raise ValueError(f"top_p: found {self.top_p}, expected above 0, at most 1")

  @property
  def mode(self) -> Mode:
    """The way of choosing that a program is compiled for."""
    if self.temperature == 0 or self.top_k == 1:
      return "greedy"
    return "plain" if self.top_k is None and self.top_p == 1 else "filtered"

  def arrays(self, vocab_size: int) -> SamplingArrays:
    """The settings as arrays, for `choose`."""
    top_k = vocab_size if self.top_k is None else min(self.top_k, vocab_size)
    return SamplingArrays(
      jnp.float32(self.temperature), jnp.asarray(top_k, jnp.int32), jnp.float32(self.top_p)
    )


def choose(
  logits: Float[Array, "B V"], *, keys: Key[Array, " B"], mode: Mode, arrays: SamplingArrays
) -> Int[Array, " B"]:
  """Chooses one token a row.

  Args:
    logits: the logits, "B V", -inf where a token must not be chosen.
    keys: one PRNG key a row, which "greedy" does not use.
    mode: the mode of a `Sampling`.
    arrays: the numbers of the same `Sampling`.

  Returns:
    Token ids, "B".
  """
  if mode == "greedy":
    return jnp.argmax(logits, axis=1).astype(jnp.int32)
  logits = logits.astype(jnp.float32) / arrays.temperature
  if mode == "filtered":
    logits = keep_likely(logits, top_k=arrays.top_k, top_p=arrays.top_p)
  return jax.vmap(jax.random.categorical)(keys, logits).astype(jnp.int32)


def keep_likely(
  logits: Float[Array, "B V"],
  *,
  top_k: int | Int[Array, ""],
  top_p: float | Float[Array, ""],
) -> Float[Array, "B V"]:
  """Sets the logits of all but the likely tokens to -inf; all that tie for the last place stay.

  Args:
    logits: the logits, divided by the temperature already.
    top_k: the number of best tokens that stay, at least 1.
    top_p: the probability mass of the fewest among them that stay, at least one token.
  """
  falling = -jnp.sort(-logits, axis=1)
  places = jnp.arange(logits.shape[1])[None]
  falling = jnp.where(places < top_k, falling, -jnp.inf)
  odds = jax.nn.softmax(falling, axis=1)
  before = jnp.cumsum(odds, axis=1) - odds
  stays = (places == 0) | ((before < top_p) & (places < top_k))
  last = jnp.min(jnp.where(stays, falling, jnp.inf), axis=1, keepdims=True)
  return jnp.where(logits >= last, logits, -jnp.inf)
