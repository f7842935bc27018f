"""What causal language models share: reading rows to learn, and token by token to generate."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.models.layers.attention import Cache
from pretrainjax.models.layers.block import Block
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.embedding import as_text, check_length, embed, pool_text
from pretrainjax.models.layers.norm import LayerNorm, RMSNorm
from pretrainjax.models.layers.scope import Rotary, Scope, positions_of
from pretrainjax.models.layers.stack import Remat, run_stack, step_layers, unstack
from pretrainjax.models.text_encoder import TextEncoder
from pretrainjax.ranges import PositiveInt
from pretrainjax.types import Encoded, Text


class CausalModel(TextEncoder):
  """Base of transformers in which a token sees itself and those before it in its document.

  Attributes:
    max_length: tokens of the longest row and of the longest text that is generated.
    pool: what `pooled` is; the last token is the only one that has seen all.
    dropout: rate after the embedding.
    dtype: the dtype of the computation.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    token_embedding: the table of tokens, "V D".
    blocks: a stack; of an `unstacked` model, a list.
    norm: the norm after the last block.
    window: tokens see at most so many places before theirs; None is no limit.
  """

  dropout: float
  dtype: str
  remat: Remat
  unroll: int
  token_embedding: nnx.Param
  blocks: Block | nnx.List
  norm: LayerNorm | RMSNorm
  window: PositiveInt | None = None

  @property
  def output_table(self) -> Float[Array, "V D"]:
    """The table of the output, one row a token: its product with a feature is the token's logit."""
    return self.token_embedding[...]

  def sequence(
    self,
    inputs: Text | Int[Array | np.ndarray, "B T"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B T D"]:
    """The features of all tokens after the last norm.

    Args:
      inputs: text, several documents a row perhaps, which do not see each other; or tokens alone,
        one document a row. Padding may stand on either side.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    text = as_text(inputs)
    check_length(text.tokens.shape[1], self.max_length)
    segments = jnp.asarray(text.segments)
    positions = positions_of(segments)
    random = {"deterministic": deterministic, "rngs": rngs}
    x = drop_values(self._embed(text.tokens, positions), rate=self.dropout, **random)
    rotary, window = self._rotary(positions), self.window
    scope = Scope(segments=segments, causal=True, rotary=rotary, window=window)
    x = run_stack(self.blocks, x, scopes=[scope], remat=self.remat, unroll=self.unroll, **random)
    return self.norm(x)

  def next_token_logits(self, encoded: Encoded) -> Float[Array, "B V"]:
    """The logits of the token after the last one of each row, in float32.

    Args:
      encoded: the features that the model made of the rows.
    """
    x = pool_text(encoded.tokens, valid=encoded.valid, pool="last")
    table = self.output_table.astype(x.dtype)
    return jnp.einsum("bd,vd->bv", x, table, preferred_element_type=jnp.float32)

  def unstacked(self) -> "CausalModel":
    """A copy that reads token by token, whose blocks have arrays of their own."""
    copy = nnx.merge(*nnx.split(self))
    copy.blocks = nnx.List(unstack(self.blocks))
    return copy

  def empty_cache(self, batch_size: int, length: int) -> tuple[Cache, ...]:
    """An empty cache of `length` tokens a row, one a layer, for `step` of an `unstacked` model."""

    def layer_cache(block: Block) -> Cache:
      heads = block.attention.num_kv_heads
      shape = (batch_size, length, heads, block.attention.key.kernel.shape[-1] // heads)
      return Cache(jnp.zeros(shape, self.dtype), jnp.zeros(shape, self.dtype))

    return tuple(layer_cache(block) for block in self.blocks)

  def step(
    self,
    tokens: Int[Array, "B N"],
    caches: tuple[Cache, ...],
    positions: Int[Array, "B N"],
  ) -> tuple[Float[Array, "B N D"], tuple[Cache, ...]]:
    """Reads some more tokens of texts whose beginnings are in the cache.

    Args:
      tokens: the next ones, one or more.
      caches: caches made by `empty_cache`, or what came back the last time; not to be used again.
      positions: the positions of `tokens` in their texts, below `max_length`; each sees all up to
        its own. Places beyond the cache are not remembered.

    Returns:
      The tokens after the last norm, as `sequence` has them, and the cache with them in it.
    """
    x = self._embed(tokens, positions)
    places = {"positions": positions, "rotary": self._rotary(positions), "window": self.window}
    x, caches = step_layers(self.blocks, x, caches, **places)
    return self.norm(x), caches

  def _embed(self, tokens, positions) -> Float[Array, "B T D"]:
    """What the blocks get; a model with a table of positions adds it here."""
    del positions
    return embed(self.token_embedding[...], tokens, dtype=self.dtype)

  def _rotary(self, positions) -> Rotary | None:
    """Angles of the positions, in models that turn queries and keys."""
    del positions
    return None


def residual_std(init_std: float, num_layers: int) -> float:
  """The spread of weights that end a branch: the sum of 2 * num_layers branches keeps its size.

  Reference: GPT-2 (Radford et al. 2019), section 2.3; that it is of all 2L is in its code.
  """
  return init_std / (2 * num_layers) ** 0.5
