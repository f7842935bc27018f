"""ModernBERT: rotary positions, gated perceptrons, local and global attention in turns."""

import math
from typing import Annotated, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.models.layers.block import Block
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.embedding import Pool, as_text, embed
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.rotary import rotary_angles
from pretrainjax.models.layers.scope import Scope, positions_of
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.models.sizes import named_size
from pretrainjax.models.text_encoder import TextEncoder
from pretrainjax.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, Range, Rate, ranged
from pretrainjax.types import Text


class Size(NamedTuple):
  """The sizes of a ModernBERT that the name of a size stands for."""

  embed_dim: int
  num_layers: int
  num_heads: int
  mlp_dim: int


# arXiv 2412.13663, section 2.1.3, whose "GLU expansion" counts gate and value together.
SIZES = {"base": Size(768, 22, 12, 1152), "large": Size(1024, 28, 16, 2624)}


def modern_bert_size(name: str) -> dict[str, int]:
  """The arguments of `ModernBERT` that a size, "base" or "large", stands for.

  Raises:
    ValueError: for a name that is none.

  >>> modern_bert_size("base")["num_layers"]
  22
  """
  return named_size(name, SIZES)


class ModernBERT(TextEncoder):
  """A pre-norm transformer encoder of text without biases, with rotary positions.

  Args:
    vocab_size: number of tokens in the vocabulary, V.
    max_length: tokens of the longest row that it is made for; longer ones are computed too.
    embed_dim: width of tokens, D.
    num_layers: blocks, at least 2.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons, of gate and of value each.
    window: tokens that a token sees in a local layer, half of them to each side; an even number.
    global_every: layers 0, n, 2 n, ... see the whole document; 1 makes all global.
    global_theta: base of the wavelengths of rotary positions in global layers.
    local_theta: base of the wavelengths of rotary positions in local layers.
    pool: "cls", "mean" or "last": how `pooled` is made, see `pool_text`.
    eps: the number added to variances in the layer norms, which have no shift.
    dropout: rate after the embedding and at the end of each branch, in [0, 1).
    attention_dropout: rate on attention's weights, in [0, 1).
    init_std: std of the normal distribution, cut off at three of it, that weights start from; those
      that end a branch have init_std / sqrt(2 num_layers).
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, the first block apart, see `layers.stack.Remat`.
    unroll: turns of the layers that an iteration of the loop over them holds.
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for arguments that do not fit together.

  Reference: arXiv 2412.13663; initial values as in the authors' code.
  """

  @ranged
  def __init__(
    self,
    *,
    vocab_size: PositiveInt,
    max_length: PositiveInt,
    embed_dim: PositiveInt,
    num_layers: Annotated[int, Range(2, 10_000)],
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    window: PositiveInt = 128,
    global_every: PositiveInt = 3,
    global_theta: PositiveFloat = 160_000.0,
    local_theta: PositiveFloat = 10_000.0,
    pool: Pool = "cls",
    eps: PositiveFloat = 1e-5,
    dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    if window < 2 or window % 2:
      raise ValueError(f"window={window}: expected an even number, at least 2")
    self.vocab_size, self.max_length, self.embed_dim = vocab_size, max_length, embed_dim
    self.window, self.global_every = window, global_every
    self.global_theta, self.local_theta = global_theta, local_theta
    self.pool, self.dropout, self.dtype = pool, dropout, dtype
    self.remat, self.unroll = remat, unroll

    init = _cut_normal(init_std)
    self.token_embedding = nnx.Param(init(rngs.params(), (vocab_size, embed_dim)))
    self.embedding_norm = LayerNorm(embed_dim=embed_dim, eps=eps, use_bias=False)
    block = {
      "embed_dim": embed_dim,
      "num_heads": num_heads,
      "mlp_dim": mlp_dim,
      "eps": eps,
      "norm": "layer_scale",
      "gated": True,
      "use_bias": False,
      "dropout": dropout,
      "inner_dropout": 0.0,
      "attention_dropout": attention_dropout,
      "kernel_init": init,
      "out_init": _cut_normal(init_std / math.sqrt(2 * num_layers)),
      "dtype": dtype,
    }
    # The first block has no norm before attention, as the embedding's has just been.
    self.stem = Block(first_norm=False, rngs=rngs, **block)
    self.head_dim = self.stem.attention.head_dim
    self.blocks = make_stack(num_layers - 1, rngs=rngs, **block)
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps, use_bias=False)

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
        one document a row. Types are ignored, as there are none.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    text, random = as_text(inputs), {"deterministic": deterministic, "rngs": rngs}
    wide, near = self._scopes(jnp.asarray(text.segments))
    x = self.embedding_norm(embed(self.token_embedding[...], text.tokens, dtype=self.dtype))
    x = drop_values(x, rate=self.dropout, **random)
    x = run_stack(
      self.blocks,
      self.stem(x, scope=wide, **random),
      # Layer 0 is the stem, so that these begin with layer 1.
      scopes=[near] * (self.global_every - 1) + [wide],
      remat=self.remat,
      unroll=self.unroll,
      **random,
    )
    return self.norm(x)

  def _scopes(self, segments: Int[Array, "B T"]) -> tuple[Scope, Scope]:
    """The scopes of global and of local layers."""
    positions = positions_of(segments)
    wide, near = (
      rotary_angles(positions, head_dim=self.head_dim, theta=theta)
      for theta in (self.global_theta, self.local_theta)
    )
    window = self.window // 2
    return (
      Scope(segments=segments, rotary=wide),
      Scope(segments=segments, rotary=near, window=window),
    )


def _cut_normal(std: float) -> nnx.initializers.Initializer:
  return nnx.initializers.truncated_normal(std, lower=-3.0, upper=3.0)
