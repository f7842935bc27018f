"""New tokens for prompts of token ids: prompts are read at once, then tokens come one by one.

Compiled are one program that reads and one that writes, each once a shape; shapes are powers of
two, so that there are few. What a row gets depends on its prompt, its number and the seed alone,
not on what else is in the batch.
"""

import functools
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Int, Key

from pretrainjax.generation.sampling import Mode, Numbers, Sampling, choose
from pretrainjax.models.causal import CausalModel
from pretrainjax.models.layers.attention import Cache
from pretrainjax.objectives.split import split

_log = logging.getLogger(__name__)
_SHORTEST = 16  # bucket of prompts and caches
# What is used in the dtype of the computation wherever it is used.
_CAST = ("kernel", "token_embedding", "output_embedding", "position_table")


class Progress(NamedTuple):
  """Where every row is.

  Attributes:
    caches: of all tokens before the last, one a layer.
    token: the last one.
    position: its place.
    limit: the place at which the row ends.
    done: True for rows that are at their end.
    keys: one a row.
  """

  caches: tuple[Cache, ...]
  token: Int[Array, " B"]
  position: Int[Array, " B"]
  limit: Int[Array, " B"]
  done: Bool[Array, " B"]
  keys: Key[Array, " B"]


class Generator:
  """A causal model, ready to write.

  Args:
    model: a `GPT` or `Llama`.
    end_id: the token that ends a text; it is not part of what comes back.
    banned_ids: tokens that are never chosen; numbers from vocab_size of the model on are ignored.
    num_steps: tokens that are written before the host looks at them.
  """

  def __init__(
    self,
    model: CausalModel,
    *,
    end_id: int,
    banned_ids: Iterable[int] = (),
    num_steps: int = 16,
  ):
    self.max_length, self.end_id = model.max_length, end_id
    allowed = np.ones(model.vocab_size, bool)
    allowed[[i for i in banned_ids if i < model.vocab_size and i != end_id]] = False
    self._allowed = jnp.asarray(allowed)
    graphdef, params, extras = split(model)
    model = nnx.merge(graphdef, _cast(params, model.dtype), extras)
    # Or for every token each layer's weights are copied out of the stack before they are used.
    graphdef, *self._arrays = split(model.unstacked())
    self._read = jax.jit(functools.partial(_read, graphdef), static_argnums=2)
    write = functools.partial(_write, graphdef, num_steps=num_steps, end_id=end_id)
    self._write = jax.jit(write, static_argnames="mode", donate_argnums=1)

  @property
  def num_compiled(self) -> int:
    """Programs that were compiled so far."""
    return self._read._cache_size() + self._write._cache_size()

  def start(
    self,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: Sampling = Sampling(),
    seed: int = 0,
    numbers: Sequence[int] | None = None,
  ) -> "Run":
    """Reads prompts, to be continued by `Run.advance`.

    A text ends with the end token (reason "end"), after `max_new_tokens` ("length"), or where the
    model's table of positions does ("context"). A prompt that is itself longer than `max_length`
    loses its beginning, but for the first token, to leave room for `max_new_tokens`, though half
    of `max_length` stays.

    Args:
      prompts: token ids, none of them empty: a text begins with a token that says so.
      max_new_tokens: at least 1.
      sampling: how tokens are chosen.
      seed: of the draws.
      numbers: of the prompts, which with the seed decide their draws; None counts from 0.

    Raises:
      ValueError: for an empty prompt, or numbers out of range.
    """
    if max_new_tokens < 1:
      raise ValueError(f"max_new_tokens: found {max_new_tokens}, expected at least 1")
    if not prompts or not all(prompts):
      raise ValueError("prompts: found none or an empty one, expected a begin token at least")
    kept = [self._cut(prompt, max_new_tokens) for prompt in prompts]
    lengths = np.array([len(p) for p in kept], np.int32)
    limits = np.minimum(lengths + max_new_tokens, self.max_length + 1)
    batch = _power_of_two(len(kept))
    tokens = np.zeros((batch, self._bucket(int(lengths.max()))), np.int32)
    for row, prompt in enumerate(kept):
      tokens[row, : len(prompt)] = prompt
    fill = (0, batch - len(kept))  # rows that are done before they begin
    lengths = np.pad(lengths, fill, constant_values=1)
    limits = np.pad(limits, fill, constant_values=1)
    counted = np.pad(np.arange(len(kept)) if numbers is None else np.asarray(numbers), fill)
    progress = Progress(
      caches=self._read(self._arrays, tokens, self._bucket(int(limits.max()) - 1)),
      token=jnp.asarray(tokens[np.arange(batch), lengths - 1]),
      position=jnp.asarray(lengths - 1),
      limit=jnp.asarray(limits),
      done=jnp.asarray(limits <= lengths),
      keys=_row_keys(jax.random.key(seed), jnp.asarray(counted, jnp.int32)),
    )
    rooms = [int(room) for room in (limits - lengths)[: len(kept)]]
    at_limit = ["context" if room < max_new_tokens else "length" for room in rooms]
    return Run(self, progress, sampling=sampling, rooms=rooms, at_limit=at_limit)

  def advance(self, progress: Progress, sampling: Sampling) -> tuple[Progress, Int[Array, "B N"]]:
    """`num_steps` tokens more for every row: the new state (the old is gone), tokens "B N"."""
    numbers = sampling.numbers(len(self._allowed))
    allowed = self._allowed
    return self._write(self._arrays, progress, allowed, numbers, mode=sampling.mode)

  def _cut(self, prompt: Sequence[int], max_new_tokens: int) -> Sequence[int]:
    if len(prompt) <= self.max_length:
      return prompt
    keep = self.max_length - min(max_new_tokens, self.max_length // 2)
    _log.warning(
      "a prompt has %d tokens, but the model reads %d at most: kept are the last %d",
      len(prompt),
      self.max_length,
      keep - 1,
    )
    return [prompt[0], *prompt[len(prompt) - (keep - 1) :]]

  def _bucket(self, length: int) -> int:
    return min(max(_power_of_two(length), _SHORTEST), self.max_length)


class Run:
  """A batch of texts that are being written.

  Attributes:
    tokens: what each row has so far, without prompt and end.
    reasons: why each ended: "end", "length", "context", "stop" (by `stop`); None while it goes on.
  """

  def __init__(
    self,
    generator: Generator,
    progress: Progress,
    *,
    sampling: Sampling,
    rooms: list[int],
    at_limit: list[str],
  ):
    self._generator, self._progress, self._sampling = generator, progress, sampling
    self._rooms, self._at_limit = rooms, at_limit
    self.tokens: list[list[int]] = [[] for _ in rooms]
    self.reasons: list[str | None] = [None] * len(rooms)

  @property
  def is_done(self) -> bool:
    """Whether all rows are at their end."""
    return all(self.reasons)

  def advance(self) -> list[int]:
    """Writes some tokens more in every row that goes on; returns these rows."""
    going_on = [row for row, reason in enumerate(self.reasons) if reason is None]
    self._progress, written = self._generator.advance(self._progress, self._sampling)
    new = np.asarray(written).tolist()
    for row in going_on:
      self._extend(row, new[row])
    return going_on

  def stop(self, rows: Sequence[int]) -> None:
    """Ends rows that go on, for reason "stop"."""
    for row in rows:
      self.reasons[row] = "stop"
    if len(rows):
      done = self._progress.done.at[jnp.asarray(rows)].set(True)
      self._progress = self._progress._replace(done=done)

  def _extend(self, row: int, new: list[int]) -> None:
    tokens, end = self.tokens[row], self._generator.end_id
    new = new[: self._rooms[row] - len(tokens)]
    if end in new:
      tokens += new[: new.index(end)]
      self.reasons[row] = "end"
      return
    tokens += new
    if len(tokens) == self._rooms[row]:
      self.reasons[row] = self._at_limit[row]


def _read(graphdef: nnx.GraphDef, arrays: Any, tokens: Int[Array, "B N"], length: int) -> Any:
  """Caches of prompts, one a layer; what padding leaves there is written over before it is seen."""
  model = nnx.merge(graphdef, *arrays)
  places = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
  return model.step(tokens, model.empty_cache(len(tokens), length), places)[1]


def _write(
  graphdef: nnx.GraphDef,
  arrays: Any,
  progress: Progress,
  allowed: Bool[Array, " V"],
  numbers: Numbers,
  *,
  mode: Mode,
  num_steps: int,
  end_id: int,
) -> tuple[Progress, Int[Array, "B N"]]:
  model = nnx.merge(graphdef, *arrays)

  def write(now: Progress, _):
    token, position = now.token[:, None], now.position[:, None]
    x, caches = model.step(token, now.caches, position)
    logits = jnp.einsum(
      "bd,vd->bv",
      x[:, 0],
      model.output_table.astype(x.dtype),
      preferred_element_type=jnp.float32,
    )
    logits = jnp.where(allowed[None], logits, -jnp.inf)
    place = now.position + 1
    keys = jax.vmap(jax.random.fold_in)(now.keys, place)
    new = choose(logits, keys=keys, mode=mode, numbers=numbers)
    new = jnp.where(now.done, now.token, new)
    place = jnp.where(now.done, now.position, place)
    done = now.done | (new == end_id) | (place + 1 >= now.limit)
    return now._replace(caches=caches, token=new, position=place, done=done), new

  progress, tokens = jax.lax.scan(write, progress, length=num_steps)
  return progress, tokens.T  # N B -> B N


@jax.jit
def _row_keys(key: Key[Array, ""], rows: Int[Array, " B"]) -> Key[Array, " B"]:
  return jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)


def _cast(params: dict[str, Any], dtype: str) -> dict[str, Any]:
  """Weights as layers would make them of the float32 ones, once and not for every token."""

  def cast(path, x):
    return x.astype(dtype) if path[-1].key in _CAST else x

  return jax.tree_util.tree_map_with_path(cast, params)


def _power_of_two(count: int) -> int:
  return 1 << (count - 1).bit_length()
