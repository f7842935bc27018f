"""From logits to one token a row: the best, or one drawn from all or from the likely ones."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

# "greedy" takes the best, "plain" draws from all, "filtered" from those that top_k and top_p leave.
Mode = Literal["greedy", "plain", "filtered"]


class Numbers(NamedTuple):
  """A `Sampling` as arrays, so that another temperature compiles nothing."""

  temperature: Float[Array, ""]
  top_k: Int[Array, ""]
  top_p: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How to choose among tokens; the filters follow one another as they stand here.

  Args:
    temperature: divides the logits; 0 always takes the best, 1 leaves the model's odds.
    top_k: how many of the best to draw from; None is all.
    top_p: draw from the fewest best whose odds sum to it, in (0, 1] (arXiv 1904.09751); 1 is all.

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
    """What a program must be compiled for."""
    if self.temperature == 0 or self.top_k == 1:
      return "greedy"
    return "plain" if self.top_k is None and self.top_p == 1 else "filtered"

  def numbers(self, vocab_size: int) -> Numbers:
    """All else, for `choose`."""
    top_k = vocab_size if self.top_k is None else min(self.top_k, vocab_size)
    return Numbers(
      jnp.float32(self.temperature), jnp.asarray(top_k, jnp.int32), jnp.float32(self.top_p)
    )


def choose(
  logits: Float[Array, "B V"], *, keys: Key[Array, " B"], mode: Mode, numbers: Numbers
) -> Int[Array, " B"]:
  """One token a row.

  Args:
    logits: -inf where a token is out of the question.
    keys: one a row, unused by "greedy".
    mode: of a `Sampling`.
    numbers: of the same.
  """
  if mode == "greedy":
    return jnp.argmax(logits, axis=1).astype(jnp.int32)
  logits = logits.astype(jnp.float32) / numbers.temperature
  if mode == "filtered":
    logits = keep_likely(logits, top_k=numbers.top_k, top_p=numbers.top_p)
  return jax.vmap(jax.random.categorical)(keys, logits).astype(jnp.int32)


def keep_likely(
  logits: Float[Array, "B V"],
  *,
  top_k: int | Int[Array, ""],
  top_p: float | Float[Array, ""],
) -> Float[Array, "B V"]:
  """Sets to -inf all but the likely tokens; of those that tie for the last place all stay.

  Args:
    logits: with the temperature in them already.
    top_k: how many stay, at least 1.
    top_p: of those, the fewest whose odds sum to it stay, at least one.
  """
  falling = -jnp.sort(-logits, axis=1)
  places = jnp.arange(logits.shape[1])[None]
  falling = jnp.where(places < top_k, falling, -jnp.inf)
  odds = jax.nn.softmax(falling, axis=1)
  before = jnp.cumsum(odds, axis=1) - odds
  stays = (places == 0) | ((before < top_p) & (places < top_k))
  last = jnp.min(jnp.where(stays, falling, jnp.inf), axis=1, keepdims=True)
  return jnp.where(logits >= last, logits, -jnp.inf)
