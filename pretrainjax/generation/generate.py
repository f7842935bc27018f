"""Autoregressive generation from token ids: prompts are read at once, new tokens one by one.

Two programs are compiled, one that reads and one that writes, each once a shape; shapes are powers
of two, so that there are few. The tokens of a row depend on its prompt, its index and the seed
alone, not on the other rows of the batch. They are the tokens that reading the whole text anew for
each of them would give: the cache saves time and changes nothing (but for the last bits of floats).
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

from pretrainjax.generation.sampling import Mode, Sampling, SamplingArrays, choose
from pretrainjax.models.causal import CausalModel
from pretrainjax.models.layers.attention import Cache
from pretrainjax.objectives.split import split

_log = logging.getLogger(__name__)
_SHORTEST = 16  # length of prompts and caches
# Parameters that every layer casts to the dtype of the computation before their use.
_CAST = ("kernel", "token_embedding", "output_embedding", "position_table")


class Progress(NamedTuple):
  """The state of a batch of texts between two calls of the compiled program.

  Attributes:
    caches: the keys and values of all tokens before the last, one cache a layer.
    token: the last token of each row.
    position: the position of that token.
    limit: the position at which the row ends.
    done: True for rows that have ended.
    keys: one PRNG key a row.
  """

  caches: tuple[Cache, ...]
  token: Int[Array, " B"]
  position: Int[Array, " B"]
  limit: Int[Array, " B"]
  done: Bool[Array, " B"]
  keys: Key[Array, " B"]


class Generator:
  """A causal model with the compiled programs that continue prompts.

  Args:
    model: a causal model, `GPT` or `Llama`.
    end_id: the token that ends a text; it is not part of the result.
    banned_ids: the tokens that are never chosen; ids from the model's vocab_size on are ignored.
    num_steps: the number of tokens that are written in one call of the compiled program.
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
    """The number of programs that were compiled so far."""
    return self._read._cache_size() + self._write._cache_size()

  def start(
    self,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int | Sequence[int],
    sampling: Sampling = Sampling(),
    seed: int = 0,
    indices: Sequence[int] | None = None,
    before: Sequence[Sequence[int]] | None = None,
    window: int = 0,
  ) -> "Generation":
    """Reads prompts, to be continued by `Generation.advance`.

    A text ends with the end token (reason "end"), after `max_new_tokens` ("length"), or where the
    model's table of positions does ("context"). A prompt that is itself longer than `max_length`
    loses its beginning, but for the first token, to leave room for `max_new_tokens`, though half
    of `max_length` stays.

    Args:
      prompts: the token ids of each prompt, at least the token that begins a text.
      max_new_tokens: the largest number of new tokens, of all prompts or of each, at least 1.
      sampling: how tokens are chosen.
      seed: the seed of the draws.
      indices: the index of each prompt, which with the seed decides its draws; None counts from 0.
      before: tokens that were generated in windows before this one, which each prompt ends with;
        None is none.
      window: the number of windows before this one, which draws its own random numbers.

    Raises:
      ValueError: for an empty prompt, or a number out of range.
    """
    wanted = np.broadcast_to(np.asarray(max_new_tokens), len(prompts))
    if np.any(wanted < 1):
      raise ValueError(f"max_new_tokens: found {max_new_tokens}, expected at least 1")
    if not prompts or not all(prompts):
      raise ValueError("prompts: found none or an empty one, expected a begin token at least")
    kept = [self._truncated(p, int(count)) for p, count in zip(prompts, wanted, strict=True)]
    lengths = np.array([len(p) for p in kept], np.int32)
    limits = np.minimum(lengths + wanted, self.max_length + 1).astype(np.int32)
    batch = _power_of_two(len(kept))
    tokens = np.zeros((batch, self._bucket(int(lengths.max()))), np.int32)
    for row, prompt in enumerate(kept):
      tokens[row, : len(prompt)] = prompt
    fill = (0, batch - len(kept))  # rows that are done before they begin
    lengths = np.pad(lengths, fill, constant_values=1)
    limits = np.pad(limits, fill, constant_values=1)
    counted = np.pad(np.arange(len(kept)) if indices is None else np.asarray(indices), fill)
    progress = Progress(
      caches=self._read(self._arrays, tokens, self._bucket(int(limits.max()) - 1)),
      token=jnp.asarray(tokens[np.arange(batch), lengths - 1]),
      position=jnp.asarray(lengths - 1),
      limit=jnp.asarray(limits),
      done=jnp.asarray(limits <= lengths),
      keys=_row_keys(_window_key(seed, window), jnp.asarray(counted, jnp.int32)),
    )
    budgets = [int(budget) for budget in (limits - lengths)[: len(kept)]]
    pairs = zip(budgets, wanted, strict=True)
    at_limit = ["context" if budget < count else "length" for budget, count in pairs]
    run = Generation(self, progress, sampling=sampling, budgets=budgets, at_limit=at_limit)
    return run if before is None else run.after(before)

  def window(self, tokens: Sequence[int]) -> list[int]:
    """What a model goes on from where its context is full: the first token and the last ones.

    They fill half of `max_length`, so that a window is read anew after as many tokens.
    """
    last = max(self.max_length // 2 - 1, 0)
    return [tokens[0], *tokens[max(len(tokens) - last, 1) :]] if last else [tokens[0]]

  def advance(self, progress: Progress, sampling: Sampling) -> tuple[Progress, Int[Array, "B N"]]:
    """Writes `num_steps` more tokens a row; returns the new state and the tokens, "B N".

    The old state is donated.
    """
    settings = sampling.arrays(len(self._allowed))
    return self._write(self._arrays, progress, self._allowed, settings, mode=sampling.mode)

  def _truncated(self, prompt: Sequence[int], max_new_tokens: int) -> Sequence[int]:
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


class Generation:
  """A batch of texts while they are being generated.

  Attributes:
    tokens: the new tokens of each row so far, without the prompt and the end token.
    reasons: why each row ended: "end", "length", "context" or "stop" (see `stop`); None before.
  """

  def __init__(
    self,
    generator: Generator,
    progress: Progress,
    *,
    sampling: Sampling,
    budgets: list[int],
    at_limit: list[str],
  ):
    self._generator, self._progress, self._sampling = generator, progress, sampling
    self._budgets, self._at_limit = budgets, at_limit
    self.tokens: list[list[int]] = [[] for _ in budgets]
    self.reasons: list[str | None] = [None] * len(budgets)

  def after(self, before: Sequence[Sequence[int]]) -> "Generation":
    """This generation, whose tokens begin with those of the windows before it."""
    self.tokens = [list(tokens) for tokens in before]
    pairs = zip(self._budgets, self.tokens, strict=True)
    self._budgets = [budget + len(tokens) for budget, tokens in pairs]
    return self

  @property
  def is_done(self) -> bool:
    """Whether all rows have ended."""
    return all(self.reasons)

  def advance(self) -> list[int]:
    """Writes more tokens in every row that has not ended; returns the indices of these rows."""
    going_on = [row for row, reason in enumerate(self.reasons) if reason is None]
    self._progress, written = self._generator.advance(self._progress, self._sampling)
    new = np.asarray(written).tolist()
    for row in going_on:
      self._extend(row, new[row])
    return going_on

  def stop(self, rows: Sequence[int]) -> None:
    """Ends rows that have not ended yet, for the reason "stop"."""
    for row in rows:
      self.reasons[row] = "stop"
    if len(rows):
      done = self._progress.done.at[jnp.asarray(rows)].set(True)
      self._progress = self._progress._replace(done=done)

  def _extend(self, row: int, new: list[int]) -> None:
    tokens, end = self.tokens[row], self._generator.end_id
    new = new[: self._budgets[row] - len(tokens)]
    if end in new:
      tokens += new[: new.index(end)]
      self.reasons[row] = "end"
      return
    tokens += new
    if len(tokens) == self._budgets[row]:
      self.reasons[row] = self._at_limit[row]


def _read(graphdef: nnx.GraphDef, arrays: Any, tokens: Int[Array, "B N"], length: int) -> Any:
  """The caches of prompts, one a layer; padding in them is overwritten before it is attended to."""
  model = nnx.merge(graphdef, *arrays)
  places = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
  return model.step(tokens, model.empty_cache(len(tokens), length), places)[1]


def _write(
  graphdef: nnx.GraphDef,
  arrays: Any,
  progress: Progress,
  allowed: Bool[Array, " V"],
  settings: SamplingArrays,
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
    new = choose(logits, keys=keys, mode=mode, arrays=settings)
    new = jnp.where(now.done, now.token, new)
    place = jnp.where(now.done, now.position, place)
    done = now.done | (new == end_id) | (place + 1 >= now.limit)
    return now._replace(caches=caches, token=new, position=place, done=done), new

  progress, tokens = jax.lax.scan(write, progress, length=num_steps)
  return progress, tokens.T  # N B -> B N


def _window_key(seed: int, window: int) -> Key[Array, ""]:
  key = jax.random.key(seed)
  return jax.random.fold_in(key, window) if window else key


@jax.jit
def _row_keys(key: Key[Array, ""], rows: Int[Array, " B"]) -> Key[Array, " B"]:
  return jax.vmap(lambda row: jax.random.fold_in(key, row))(rows)


def _cast(params: dict[str, Any], dtype: str) -> dict[str, Any]:
  """Casts weights to the dtype of the computation once, as layers would for every token."""

  def cast(path, x):
    return x.astype(dtype) if path[-1].key in _CAST else x

  return jax.tree_util.tree_map_with_path(cast, params)


def _power_of_two(count: int) -> int:
  return 1 << (count - 1).bit_length()
