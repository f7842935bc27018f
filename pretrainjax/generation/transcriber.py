"""What an encoder hears, written down by its decoder, one token after the other."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.errors import UserError
from pretrainjax.generation.time_tokens import Past, with_times
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.models.whisper import Heard, WhisperDecoder
from pretrainjax.objectives.split import split
from pretrainjax.types import Sound


class Written(NamedTuple):
  """Texts as tokens, without prompt and end.

  Attributes:
    tokens: the tokens of each row; behind its end is the end's.
    lengths: the number of those of each row.
    scores: the mean logarithm of the probability of each row's tokens, its end's among them.
    no_speech: the probability that nothing is said; 0 without a token that says so.
  """

  tokens: Int[Array, "B T"]
  lengths: Int[Array, " B"]
  scores: Float[Array, " B"]
  no_speech: Float[Array, " B"]


class Rules(NamedTuple):
  """Which tokens are written where.

  Attributes:
    suppressed: those that are never written.
    suppressed_first: those that a text does not begin with.
    first_time: the token of second 0, where texts are to have times, see `time_tokens`.
    no_speech_id: the token whose probability after the prompt's first one is that of silence.
  """

  suppressed: Iterable[int] = ()
  suppressed_first: Iterable[int] = ()
  first_time: int | None = None
  no_speech_id: int | None = None


class Transcriber:
  """An encoder and a decoder of sound, compiled once for each number of rows.

  Args:
    encoder: the network that hears.
    decoder: the network that writes.
    rules: which tokens are written where.
    max_new_tokens: the most tokens of a text; None is all that the decoder has places for.
  """

  def __init__(
    self,
    encoder: SoundEncoder,
    decoder: WhisperDecoder,
    *,
    rules: Rules = Rules(),
    max_new_tokens: int | None = None,
  ):
    self.encoder, self.start_id, self.end_id = encoder, decoder.start_id, decoder.end_id
    self._size, self._places = decoder.vocab_size, decoder.max_length
    self._max_new_tokens = decoder.max_length if max_new_tokens is None else max_new_tokens
    never = _allowed(self._size, rules.suppressed, self.end_id)
    self._allowed = (never, never & _allowed(self._size, rules.suppressed_first, None))
    graphdefs, self._arrays = zip(*map(_parts, (encoder, decoder.unstacked())), strict=True)

    def hear(arrays: Any, sound: Sound) -> Heard:
      encoder, decoder = (nnx.merge(g, *a) for g, a in zip(graphdefs, arrays, strict=True))
      encoded = encoder(sound)
      return decoder.remember(encoded.tokens, encoded.valid)

    def first(arrays: Any, heard: Heard) -> Float[Array, "B V"]:
      return _first_scores(nnx.merge(graphdefs[1], *arrays), heard)

    def write(count: int, arrays: Any, *inputs: Any) -> Written:
      return _write(nnx.merge(graphdefs[1], *arrays), rules, count, *inputs)

    self._hear, self._first = jax.jit(hear), jax.jit(first)
    self._write = jax.jit(write, static_argnums=0)

  def __call__(self, sound: Sound, *, prompt: Sequence[int] | None = None) -> Written:
    """Writes down what is said in each row, which the encoder hears up to its longest sound.

    Args:
      sound: the rows.
      prompt: the tokens that every text begins with; None is the decoder's start.

    Raises:
      UserError: for tokens that the decoder does not have, or a prompt that leaves no place.
    """
    prompt = (self.start_id,) if prompt is None else tuple(prompt)
    return self.write(self.hear(sound), np.tile(np.int32(prompt), (len(sound.audio), 1)))

  def hear(self, sound: Sound) -> Heard:
    """What the decoder attends to while it writes."""
    return self._hear(self._arrays, sound)

  def first_scores(self, heard: Heard) -> Float[Array, "B V"]:
    """Log-probabilities of what follows the start of a text, such as its language."""
    return self._first(self._arrays[1], heard)

  def write(
    self,
    heard: Heard,
    prompts: Int[np.ndarray, "B P"],
    *,
    wanted: Bool[np.ndarray, " B"] | None = None,
    temperature: float = 0.0,
    keys: Any = None,
  ) -> Written:
    """Writes down what was heard.

    Args:
      heard: what `hear` returned.
      prompts: the tokens that each text begins with.
      wanted: False for rows that are left empty; None wants all.
      temperature: 0 takes the likeliest token, above it tokens are drawn from
        softmax(logits / temperature).
      keys: a key for each row, which decides what is drawn; None where nothing is.

    Raises:
      UserError: for tokens that the decoder does not have, or prompts that leave no place.
    """
    batch, length = prompts.shape
    places = self._places - length
    if not length or places < 1 or not ((0 <= prompts) & (prompts < self._size)).all():
      raise UserError(
        f"prompt: found {length} tokens, expected 1 to {self._places - 1} below {self._size}"
      )
    wanted = np.ones(batch, bool) if wanted is None else wanted
    if keys is None:
      keys = jax.random.split(jax.random.key(0), batch)
    how = (np.float32(temperature), keys)
    count = min(self._max_new_tokens, places)
    inputs = (heard, prompts.astype(np.int32), wanted, self._allowed)
    return self._write(count, self._arrays[1], *inputs, *how)


def _parts(network: nnx.Module) -> tuple[Any, tuple[Any, Any]]:
  graphdef, *trees = split(network)
  return graphdef, (trees[0], trees[1])


def _allowed(size: int, banned: Iterable[int], end_id: int | None) -> np.ndarray:
  allowed = np.ones(size, bool)
  allowed[[token for token in banned if token < size and token != end_id]] = False
  return allowed


def _first_scores(decoder: WhisperDecoder, heard: Heard) -> Float[Array, "B V"]:
  batch = len(heard.layers[0].keys)
  tokens = jnp.full((batch, 1), decoder.start_id, jnp.int32)
  caches = decoder.empty_cache(batch, 1)
  x, _ = decoder.step(tokens, caches, jnp.zeros_like(tokens), contexts=heard)
  return jax.nn.log_softmax(decoder.logits(x)[:, 0], axis=1)


def _write(
  decoder, rules: Rules, count: int, heard, prompts, wanted, allowed, temperature, keys
) -> Written:
  """Reads the prompts, then writes until all rows have ended or `count` tokens are there."""
  batch, start = prompts.shape
  end_id = decoder.end_id
  first_time = decoder.vocab_size if rules.first_time is None else rules.first_time
  caches = decoder.empty_cache(batch, start + count)
  places = jnp.broadcast_to(jnp.arange(start)[None], (batch, start))
  x, caches = decoder.step(prompts, caches, places, contexts=heard)
  no_speech = jnp.zeros(batch)
  if rules.no_speech_id is not None:
    silence = jax.nn.softmax(decoder.logits(x[:, :1])[:, 0], axis=1)
    no_speech = silence[:, rules.no_speech_id]

  def chosen(features, past, allowed, number):
    logits = jnp.where(allowed[None], decoder.logits(features[:, -1:])[:, 0], -jnp.inf)
    if rules.first_time is not None:
      logits = with_times(logits, past, first_time=first_time, end_id=end_id)
    token = _drawn(logits, temperature, keys, number)
    score = jnp.take_along_axis(logits, token[:, None], axis=1)[:, 0]
    return token, score - jax.nn.logsumexp(logits, axis=1)

  def goes_on(state):
    return (state["number"] < count) & ~jnp.all(state["past"].token == end_id)

  def next_token(state):
    number, past = state["number"], state["past"]
    place = jnp.full((batch, 1), start - 1, jnp.int32) + number
    x, caches = decoder.step(past.token[:, None], state["caches"], place, contexts=heard)
    found, score = chosen(x, past, allowed[0], number)
    ended = past.token == end_id
    token = jnp.where(ended, end_id, found)
    return {
      "number": number + 1,
      "past": past.followed_by(token, first_time=first_time),
      "written": state["written"].at[:, number].set(token),
      "total": state["total"] + jnp.where(ended, 0.0, score),
      "caches": caches,
    }

  past = Past.empty(batch)
  token, score = chosen(x, past, allowed[1], jnp.int32(0))
  token = jnp.where(wanted, token, end_id)
  written = jnp.full((batch, count), end_id, jnp.int32).at[:, 0].set(token)
  past = past.followed_by(token, first_time=first_time)
  state = {"number": jnp.int32(1), "past": past, "written": written, "total": score}
  state = jax.lax.while_loop(goes_on, next_token, state | {"caches": caches})
  lengths = jnp.sum(state["written"] != end_id, axis=1)
  scored = jnp.minimum(lengths + 1, count)
  return Written(state["written"], lengths, state["total"] / scored, no_speech)


def _drawn(logits: Float[Array, "B V"], temperature, keys, number) -> Int[Array, " B"]:
  """The likeliest tokens, or some by their probabilities; what a row draws is its own key's."""

  def noisy(logits):
    own = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
    noise = jax.vmap(lambda key: jax.random.gumbel(key, logits.shape[1:]))(own)
    return logits + temperature * noise

  logits = jax.lax.cond(temperature > 0, noisy, lambda logits: logits, logits)
  return jnp.argmax(logits, axis=1).astype(jnp.int32)
