"""Whisper: an encoder of half a minute of sound, and a decoder that writes what is said."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.models.layers.attention import Cache, Remembered
from pretrainjax.models.layers.block import Block
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.embedding import check_length, embed
from pretrainjax.models.layers.frames import Convolution, Frames, real_frames
from pretrainjax.models.layers.log_mel import whisper_log_mel
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.mlp import activation as activate
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.models.layers.scope import Scope
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack, step_layers, unstack
from pretrainjax.models.sizes import named_size
from pretrainjax.models.sound_encoder import SoundEncoder, hide
from pretrainjax.ranges import (
  FewInt,
  NonNegativeFloat,
  NonNegativeInt,
  PositiveFloat,
  PositiveInt,
  Rate,
  ranged,
)
from pretrainjax.types import Encoded, Sound


class Size(NamedTuple):
  """The sizes that the name of a Whisper stands for; encoder and decoder are alike."""

  embed_dim: int
  num_layers: int
  num_heads: int
  mlp_dim: int


# arXiv 2212.04356, table 1; the perceptrons are four times as wide.
SIZES = {
  "tiny": Size(384, 4, 6, 1536),
  "base": Size(512, 6, 8, 2048),
  "small": Size(768, 12, 12, 3072),
  "medium": Size(1024, 24, 16, 4096),
  "large": Size(1280, 32, 20, 5120),
}


def whisper_size(name: str) -> dict[str, int]:
  """The arguments of `WhisperEncoder` and `WhisperDecoder` that a size such as "tiny" stands for.

  Raises:
    ValueError: for a name that is none.

  >>> whisper_size("tiny")["embed_dim"]
  384
  """
  return named_size(name, SIZES)


def sinusoids(length: int, width: int) -> Float[np.ndarray, "N D"]:
  """Sines, then cosines, of places at wavelengths from 2 pi to 20,000 pi.

  Args:
    length: the number of places.
    width: the width, an even number.

  Raises:
    ValueError: for a width that is odd, or 2.
  """
  if width % 2 or width < 4:
    raise ValueError(f"embed_dim={width}: sinusoids need an even number from 4")
  scales = np.exp(-np.log(10_000.0) / (width // 2 - 1) * np.arange(width // 2))
  angles = np.arange(length)[:, None] * scales[None]
  return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _stack(num_layers: int, *, init_std: float, **arguments: Any) -> Block:
  """Blocks whose keys have no bias."""
  init = nnx.initializers.normal(init_std)
  return make_stack(num_layers, key_bias=False, kernel_init=init, **arguments)


class WhisperEncoder(SoundEncoder):
  """Two convolutions on a log-mel spectrogram of fixed length, then a pre-norm transformer.

  Every sound is cut or padded with silence to the whole length, which tokens attend to, as in the
  authors' code; so padding of a batch changes nothing.

  Args:
    num_mels: number of bands of the spectrogram.
    length: number of tokens, of 20 ms each.
    embed_dim: width of tokens, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    activation: the activation of convolutions is the exact GELU; this one is the perceptrons'.
    eps: the number added to variances in the norms.
    dropout: rate after the positions and at the end of each branch, in [0, 1).
    inner_dropout: rate after the perceptrons' activation.
    attention_dropout: rate on attention's weights.
    init_std: standard deviation of the normal distribution that weights start from.
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Reference: arXiv 2212.04356, section 2.2. Positions are sinusoids, which are kept as they are read
  and get no gradient.
  """

  @ranged
  def __init__(
    self,
    *,
    num_mels: PositiveInt = 80,
    length: PositiveInt = 1500,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    activation: Activation = "gelu",
    eps: PositiveFloat = 1e-5,
    dropout: Rate = 0.0,
    inner_dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.num_mels, self.length, self.embed_dim = num_mels, length, embed_dim
    self.dropout, self.dtype, self.remat, self.unroll = dropout, dtype, remat, unroll
    self.log_mel = whisper_log_mel(num_mels, length=2 * length)
    convolution = {"size": 3, "padding": 1, "dtype": dtype, "rngs": rngs}
    self.conv1 = Convolution(in_dim=num_mels, out_dim=embed_dim, **convolution)
    self.conv2 = Convolution(in_dim=embed_dim, out_dim=embed_dim, stride=2, **convolution)
    self.position_table = nnx.Param(jnp.asarray(sinusoids(length, embed_dim)))
    self.blocks = _stack(
      num_layers,
      init_std=init_std,
      embed_dim=embed_dim,
      num_heads=num_heads,
      mlp_dim=mlp_dim,
      activation=activation,
      eps=eps,
      dropout=dropout,
      inner_dropout=inner_dropout,
      attention_dropout=attention_dropout,
      dtype=dtype,
      rngs=rngs,
    )
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)

  @property
  def receptive_field(self) -> int:
    """The number of samples that a token stands on."""
    return self.log_mel.window_length + 4 * self.log_mel.hop_length

  def valid(self, inputs: Sound) -> Bool[Array, "B N"]:
    """Which tokens hold sound, see `SoundEncoder.valid`."""
    step = 2 * self.log_mel.hop_length
    return real_frames(-(-jnp.asarray(inputs.num_samples) // step), self.length)

  def features(self, inputs: Sound) -> Frames:
    """The log-mel spectrogram of the whole length."""
    return self.log_mel(inputs)

  def encode(
    self,
    frames: Frames,
    *,
    masked: Bool[Array, "B N"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes a spectrogram, see `SoundEncoder.encode`; nothing can be hidden."""
    random = {"deterministic": deterministic, "rngs": rngs}
    x = Frames(frames.features, jnp.ones(frames.valid.shape, bool))
    for convolution in (self.conv1, self.conv2):
      found = convolution(x)
      x = Frames(activate("gelu")(found.features), found.valid)
    x = hide(x.features, masked, vector=None)
    table = jax.lax.stop_gradient(self.position_table[...])
    x = drop_values(x + table.astype(x.dtype)[None], rate=self.dropout, **random)
    x = self.norm(run_stack(self.blocks, x, remat=self.remat, unroll=self.unroll, **random))
    valid = real_frames((jnp.sum(frames.valid, axis=1) + 1) // 2, self.length)
    return Encoded(x, mean_pool(x, valid), valid)


class Heard(NamedTuple):
  """What a decoder attends to while it writes.

  Attributes:
    layers: keys and values of the encoder's tokens, one a layer.
    valid: True for those that are no padding; None where all count.
  """

  layers: tuple[Remembered, ...]
  valid: Bool[Array, "B N"] | None


class WhisperDecoder(nnx.Module):
  """A pre-norm transformer decoder whose tokens see those before them, and the encoder's.

  Args:
    vocab_size: number of tokens in the vocabulary, V.
    max_length: tokens of the longest text, prompt and all.
    embed_dim: width of tokens, D, the encoder's too.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    start_id: the token that every text begins with.
    end_id: the token that ends it.
    pad_id: the token that stands behind the end.
    hears_padding: whether padding of the encoder's tokens is attended to, which for Whisper's
      encoder is silence; encoders whose rows have several lengths need False.
    activation: the activation of the perceptrons.
    eps: the number added to variances in the norms.
    dropout: rate after the embedding and at the end of each branch, in [0, 1).
    inner_dropout: rate after the perceptrons' activation.
    attention_dropout: rate on attention's weights.
    init_std: standard deviation of the normal distribution that weights start from.
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Reference: arXiv 2212.04356, section 2.2; scores are by the table of tokens.
  """

  @ranged
  def __init__(
    self,
    *,
    vocab_size: PositiveInt,
    max_length: PositiveInt = 448,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    start_id: NonNegativeInt = 0,
    end_id: NonNegativeInt = 0,
    pad_id: NonNegativeInt = 0,
    hears_padding: bool = True,
    activation: Activation = "gelu",
    eps: PositiveFloat = 1e-5,
    dropout: Rate = 0.0,
    inner_dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    if max(start_id, end_id, pad_id) >= vocab_size:
      raise ValueError(f"start_id, end_id, pad_id: expected below vocab_size={vocab_size}")
    self.vocab_size, self.max_length, self.embed_dim = vocab_size, max_length, embed_dim
    self.start_id, self.end_id, self.pad_id = start_id, end_id, pad_id
    self.hears_padding = hears_padding
    self.dropout, self.dtype, self.remat, self.unroll = dropout, dtype, remat, unroll
    init = nnx.initializers.normal(init_std)
    self.token_embedding = nnx.Param(init(rngs.params(), (vocab_size, embed_dim)))
    self.position_table = nnx.Param(init(rngs.params(), (max_length, embed_dim)))
    sizes = {"embed_dim": embed_dim, "num_heads": num_heads, "mlp_dim": mlp_dim, "eps": eps}
    rates = {"dropout": dropout, "inner_dropout": inner_dropout}
    rates |= {"attention_dropout": attention_dropout}
    made = {"activation": activation, "dtype": dtype, "rngs": rngs, "init_std": init_std}
    self.blocks: Any = _stack(num_layers, cross=True, **sizes, **rates, **made)
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)

  def __call__(
    self,
    tokens: Int[Array, "B T"],
    context: Float[Array, "B N D"],
    *,
    valid: Bool[Array, "B N"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B T D"]:
    """Features whose product with the table of tokens is the score of the next one.

    Args:
      tokens: the text, from its start on.
      context: the encoder's tokens, all of them.
      valid: True for those that are no padding; None is all.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    check_length(tokens.shape[1], self.max_length)
    random = {"deterministic": deterministic, "rngs": rngs}
    places = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None], tokens.shape)
    x = drop_values(self._embed(tokens, places), rate=self.dropout, **random)
    how = {"remat": self.remat, "unroll": self.unroll, **random}
    scopes = {"scopes": [Scope(causal=True)], "context_scope": Scope(valid=self._heard(valid))}
    return self.norm(run_stack(self.blocks, x, context=context, **scopes, **how))

  def logits(self, features: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
    """The scores of the next tokens, in float32."""
    table = self.token_embedding[...].astype(features.dtype)
    return jnp.einsum("btd,vd->btv", features, table, preferred_element_type=jnp.float32)

  def unstacked(self) -> "WhisperDecoder":
    """A copy that writes token by token, whose blocks have arrays of their own."""
    copy = nnx.merge(*nnx.split(self))
    copy.blocks = nnx.List(unstack(self.blocks))
    return copy

  def remember(
    self, context: Float[Array, "B N D"], valid: Bool[Array, "B N"] | None = None
  ) -> Heard:
    """What `step` attends to of the encoder's tokens, by the layers of an `unstacked` decoder.

    Args:
      context: the encoder's tokens, all of them.
      valid: True for those that are no padding; None is all.
    """
    layers = (block.cross_attention.remember(context) for block in self.blocks)
    return Heard(tuple(layers), self._heard(valid))

  def _heard(self, valid: Bool[Array, "B N"] | None) -> Bool[Array, "B N"] | None:
    return None if self.hears_padding else valid

  def empty_cache(self, batch_size: int, length: int) -> tuple[Cache, ...]:
    """An empty cache of `length` tokens a row, one a layer, for `step`."""
    heads = self.blocks[0].attention.num_kv_heads
    zeros = jnp.zeros((batch_size, length, heads, self.embed_dim // heads), self.dtype)
    return tuple(Cache(zeros, zeros) for _ in self.blocks)

  def step(
    self,
    tokens: Int[Array, "B T"],
    caches: tuple[Cache, ...],
    positions: Int[Array, "B T"],
    *,
    contexts: Heard,
  ) -> tuple[Float[Array, "B T D"], tuple[Cache, ...]]:
    """Reads some more tokens of texts whose beginnings are in the cache.

    Args:
      tokens: the next ones, one or more.
      caches: caches made by `empty_cache`, or what came back the last time.
      positions: the positions of `tokens` in their texts, below `max_length`.
      contexts: what `remember` made of the encoder's tokens.

    Returns:
      Their features, as the call has them, and the cache with them in it.
    """
    x, layers = self._embed(tokens, positions), self.blocks
    heard = {"contexts": contexts.layers, "context_valid": contexts.valid}
    x, caches = step_layers(layers, x, caches, positions=positions, **heard)
    return self.norm(x), caches

  def _embed(self, tokens, positions) -> Float[Array, "B T D"]:
    x = embed(self.token_embedding[...], tokens, dtype=self.dtype)
    return x + embed(self.position_table[...], positions, dtype=self.dtype)
