"""What an encoder hears, written down by its decoder: the likeliest token, one after the other."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.errors import UserError
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.models.whisper import WhisperDecoder
from pretrainjax.objectives.split import split
from pretrainjax.types import Encoded, Sound


class Written(NamedTuple):
  """Texts as tokens, without prompt and end.

  Attributes:
    tokens: the tokens of each row; behind its end is the end's.
    lengths: the number of those of each row.
    scores: the mean logarithm of the probability of each row's tokens, its end's among them.
  """

  tokens: Int[Array, "B T"]
  lengths: Int[Array, " B"]
  scores: Float[Array, " B"]


class Transcriber:
  """An encoder and a decoder of sound, compiled once for each number of rows.

  Args:
    encoder: the network that hears.
    decoder: the network that writes.
    prompt: the tokens that every text begins with; None is the decoder's start.
    suppressed: tokens that are never written.
    suppressed_first: tokens that a text does not begin with.
    max_new_tokens: the most tokens of a text; None is all that the decoder has places for.

  Raises:
    UserError: for tokens that the decoder does not have, or a prompt that leaves no place.
  """

  def __init__(
    self,
    encoder: SoundEncoder,
    decoder: WhisperDecoder,
    *,
    prompt: Sequence[int] | None = None,
    suppressed: Iterable[int] = (),
    suppressed_first: Iterable[int] = (),
    max_new_tokens: int | None = None,
  ):
    self.prompt = (decoder.start_id,) if prompt is None else tuple(prompt)
    size, places = decoder.vocab_size, decoder.max_length - len(self.prompt)
    if not self.prompt or places < 1 or not all(0 <= token < size for token in self.prompt):
      raise UserError(
        f"prompt: found {len(self.prompt)} tokens, expected 1 to {decoder.max_length - 1} below "
        f"{size}"
      )
    self.end_id = decoder.end_id
    count = places if max_new_tokens is None else min(max_new_tokens, places)
    self._allowed = _allowed(size, suppressed, self.end_id)
    self._allowed_first = self._allowed & _allowed(size, suppressed_first, None)
    graphdefs, self._arrays = zip(*map(_parts, (encoder, decoder.unstacked())), strict=True)

    def write(arrays: Any, sound: Sound, allowed: Any, allowed_first: Any) -> Written:
      parts = zip(graphdefs, arrays, strict=True)
      hears, writes = (nnx.merge(graphdef, *trees) for graphdef, trees in parts)
      return _write(writes, hears(sound), self.prompt, (allowed, allowed_first), count)

    self._write = jax.jit(write)

  def __call__(self, sound: Sound) -> Written:
    """Writes down what is said in each row, which the encoder hears up to its longest sound."""
    return self._write(self._arrays, sound, self._allowed, self._allowed_first)


def _parts(network: nnx.Module) -> tuple[Any, tuple[Any, Any]]:
  graphdef, *trees = split(network)
  return graphdef, (trees[0], trees[1])


def _allowed(size: int, banned: Iterable[int], end_id: int | None) -> np.ndarray:
  allowed = np.ones(size, bool)
  allowed[[token for token in banned if token < size and token != end_id]] = False
  return allowed


def _write(
  decoder: WhisperDecoder, encoded: Encoded, prompt: tuple[int, ...], allowed: tuple, count: int
) -> Written:
  """Reads the prompt, then writes until all rows have ended or `count` tokens are there."""
  batch, start, end_id = len(encoded.tokens), len(prompt), decoder.end_id
  contexts = decoder.remember(encoded.tokens, encoded.valid)
  caches = decoder.empty_cache(batch, start + count)
  tokens = jnp.broadcast_to(jnp.asarray(prompt, jnp.int32)[None], (batch, start))
  places = jnp.broadcast_to(jnp.arange(start)[None], (batch, start))
  x, caches = decoder.step(tokens, caches, places, contexts=contexts)

  def chosen(features, allowed):
    logits = jnp.where(allowed[None], decoder.logits(features[:, -1:])[:, 0], -jnp.inf)
    token = jnp.argmax(logits, axis=1).astype(jnp.int32)
    best = jnp.max(logits, axis=1) - jax.nn.logsumexp(logits, axis=1)
    return token, best

  def goes_on(state):
    return (state["number"] < count) & ~jnp.all(state["token"] == end_id)

  def next_token(state):
    number, token = state["number"], state["token"]
    place = jnp.full((batch, 1), start - 1, jnp.int32) + number
    x, caches = decoder.step(token[:, None], state["caches"], place, contexts=contexts)
    ended = token == end_id
    found, best = chosen(x, allowed[0])
    return {
      "number": number + 1,
      "token": jnp.where(ended, end_id, found),
      "written": state["written"].at[:, number].set(jnp.where(ended, end_id, found)),
      "total": state["total"] + jnp.where(ended, 0.0, best),
      "caches": caches,
    }

  token, best = chosen(x, allowed[1])
  written = jnp.full((batch, count), end_id, jnp.int32).at[:, 0].set(token)
  state = {"number": jnp.int32(1), "token": token, "written": written, "total": best}
  state = jax.lax.while_loop(goes_on, next_token, state | {"caches": caches})
  lengths = jnp.sum(state["written"] != end_id, axis=1)
  scored = jnp.minimum(lengths + 1, count)
  return Written(state["written"], lengths, state["total"] / scored)
