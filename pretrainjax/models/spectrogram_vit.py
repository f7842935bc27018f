"""The vision transformer on log-mel spectrograms."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.frames import (
  Frames,
  num_windows,
  real_frames,
  silenced,
  windows,
)
from pretrainjax.models.layers.log_mel import LogMel, kaldi_log_mel, speech_log_mel
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.patch import PatchEmbed, Patches
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.models.layers.position import sincos_table
from pretrainjax.models.layers.scope import Scope
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.models.sound_encoder import SoundEncoder, hide
from pretrainjax.ranges import (
  FewInt,
  Finite,
  NonNegativeInt,
  PositiveFloat,
  PositiveInt,
  Rate,
  ranged,
)
from pretrainjax.types import Encoded, Sound


class SpectrogramViT(SoundEncoder):
  """Patches of a log-mel spectrogram are the tokens of a pre-norm transformer.

  Tokens stand in the order of time, those of one time from the lowest band up, so that padding
  comes last.

  Args:
    num_mels: number of bands of the spectrogram.
    length: frames of the longest sound, 10 ms each.
    patch_size: side of the patches, in frames and in bands.
    stride: how far a patch is from the one before, in bands and in frames; None is patch_size.
    padded: whether every sound is padded to `length`, and tokens attend to the padding too, as in
      AST; False leaves padding out.
    normalise: "utterance" gives each band of a sound mean 0 and variance 1, "fixed" is
      (x - mean) / std.
    mean: what "fixed" subtracts.
    std: what "fixed" divides by; AST has two standard deviations of its data.
    embed_dim: width of tokens, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    num_prefix: tokens before the patches: a class token, and AST's second one.
    pool: what `pooled` is: the mean of the real patches, or of the tokens before them.
    position: "sincos" is fixed, "learned" starts from a normal distribution of std 0.02.
    prefix_position: whether the tokens before the patches have positions of their own.
    use_mask: whether there is a vector for hidden patches.
    activation: the activation of the perceptrons.
    eps: the number added to variances in the layer norms.
    drop_path: rate of the last block, rising from 0 in the first, in [0, 1).
    dropout: rate after the embedding and in the blocks.
    pool_norm: layer norm over `pooled`, as before AST's classifier.
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for arguments that do not fit together.

  Reference: AST, arXiv 2104.01778; AudioMAE, 2207.06405 (no overlap, 1024 x 128).
  """

  @ranged
  def __init__(
    self,
    *,
    num_mels: PositiveInt = 128,
    length: PositiveInt = 1024,
    patch_size: PositiveInt = 16,
    stride: tuple[PositiveInt, PositiveInt] | None = None,
    padded: bool = False,
    normalise: Literal["utterance", "fixed"] = "utterance",
    mean: Finite = 0.0,
    std: PositiveFloat = 1.0,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    num_prefix: NonNegativeInt = 0,
    pool: Literal["mean", "prefix"] = "mean",
    position: Literal["sincos", "learned"] = "sincos",
    prefix_position: bool = False,
    use_mask: bool = False,
    activation: Activation = "gelu",
    eps: PositiveFloat = 1e-6,
    drop_path: Rate = 0.0,
    dropout: Rate = 0.0,
    pool_norm: bool = False,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    if patch_size > min(num_mels, length):
      raise ValueError(f"patch_size={patch_size}: expected at most num_mels={num_mels} and length")
    if pool == "prefix" and not num_prefix:
      raise ValueError("pool='prefix': expected num_prefix of at least 1")
    self.length, self.patch_size, self.padded, self.pool = length, patch_size, padded, pool
    self.stride = (patch_size, patch_size) if stride is None else stride
    self.embed_dim, self.num_prefix, self.num_mels = embed_dim, num_prefix, num_mels
    self.drop_path, self.dropout = drop_path, dropout
    self.dtype, self.remat, self.unroll = dtype, remat, unroll
    self.log_mel = _log_mel(num_mels, length if padded else None, normalise, mean, std)
    self.grid = (self._times(length), num_windows(num_mels, size=patch_size, stride=self.stride[0]))
    self.patch_dim = patch_size**2
    self.patch_embed = PatchEmbed(
      patch_dim=self.patch_dim, embed_dim=embed_dim, dtype=dtype, rngs=rngs
    )
    init = nnx.initializers.normal(0.02)

    def learned(*shape: int, when: bool = True) -> nnx.Param | None:
      return nnx.Param(init(rngs.params(), (*shape, embed_dim))) if when else None

    for i in range(num_prefix):
      setattr(self, f"prefix_token{i}", learned())
    self.prefix_position = learned(num_prefix, when=prefix_position and num_prefix > 0)
    self.position_table = learned(self.grid[0] * self.grid[1], when=position == "learned")
    self.mask_vector = learned(when=use_mask)
    sizes = {"embed_dim": embed_dim, "num_heads": num_heads, "mlp_dim": mlp_dim, "eps": eps}
    branches = {"activation": activation, "dropout": dropout, "dtype": dtype}
    self.blocks = make_stack(num_layers, rngs=rngs, **sizes, **branches)
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)
    self.pool_norm = LayerNorm(embed_dim=embed_dim, eps=eps) if pool_norm else None

  @property
  def receptive_field(self) -> int:
    """The number of samples that a token stands on."""
    return self.log_mel.window_length + (self.patch_size - 1) * self.log_mel.hop_length

  def valid(self, inputs: Sound) -> Bool[Array, "B N"]:
    """Which patches hold a real frame, see `SoundEncoder.valid`."""
    window = {"size": self.log_mel.window_length, "stride": self.log_mel.hop_length}
    frames = jnp.asarray(num_windows(jnp.asarray(inputs.num_samples), **window))
    length = max(num_windows(inputs.audio.shape[1], **window), 1)
    return self._valid(frames, self.length if self.padded else length)

  def mask_shape(self, inputs: Sound) -> tuple[int, int]:
    """The number of sounds and of the patches of each, padding among them, (B, N)."""
    batch, count = self.valid(inputs).shape
    return batch, count

  def features(self, inputs: Sound) -> Frames:
    """The log-mel spectrogram, normalised."""
    return self.log_mel(inputs)

  def patches_at(self, inputs: Sound, places: Int[Array, "B R"]) -> Patches:
    """Some patches of the spectrogram, and which of their values are of real frames.

    Args:
      inputs: as of the call.
      places: which patches, by their place in a row.
    """
    frames = self.features(inputs)
    real = self.patches(frames._replace(features=jnp.ones_like(frames.features)))
    rows = places[:, :, None]
    values, real = (jnp.take_along_axis(x, rows, axis=1) for x in (self.patches(frames), real))
    return Patches(values, real > 0)

  def __call__(
    self,
    inputs: Sound,
    *,
    keep: Int[Array, "B M"] | None = None,
    masked: Bool[Array, "B N"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes sound; `keep` are the only patches that are encoded, see `SoundEncoder.__call__`."""
    random = {"deterministic": deterministic, "rngs": rngs}
    return self.encode(self.features(inputs), keep=keep, masked=masked, **random)

  def sequence(
    self,
    inputs: Sound,
    *,
    keep: Int[Array, "B M"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B L D"]:
    """The features of all tokens after the last norm: `num_prefix` of them, then patches.

    The arguments are those of the call.
    """
    random = {"deterministic": deterministic, "rngs": rngs}
    return self._run(self.features(inputs), keep=keep, masked=None, **random)[0]

  def encode(
    self,
    frames: Frames,
    *,
    keep: Int[Array, "B M"] | None = None,
    masked: Bool[Array, "B N"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes a spectrogram, see `SoundEncoder.encode`.

    Args:
      frames: the spectrogram, and which of its frames are real.
      keep: the indices of the only patches to encode; None encodes all.
      masked: True for patches that are hidden, of all of them.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call.
    """
    random = {"deterministic": deterministic, "rngs": rngs}
    x, valid = self._run(frames, keep=keep, masked=masked, **random)
    tokens = x[:, self.num_prefix :]
    is_prefix = self.pool == "prefix"
    pooled = mean_pool(x[:, : self.num_prefix]) if is_prefix else mean_pool(tokens, valid)
    return Encoded(tokens, pooled if self.pool_norm is None else self.pool_norm(pooled), valid)

  def _run(
    self, frames: Frames, *, keep, masked, deterministic: bool, rngs: nnx.Rngs | None
  ) -> tuple[Float[Array, "B L D"], Bool[Array, "B M"]]:
    """All tokens after the last norm, and which of the patches are real."""
    random = {"deterministic": deterministic, "rngs": rngs}
    patches = self.patches(frames)
    valid = self._valid(jnp.sum(frames.valid, axis=1), frames.features.shape[1])
    x = hide(self.patch_embed(patches), masked, vector=self.mask_vector)
    x = x + self._positions(x.shape[1])[None]
    if keep is not None:
      x = jnp.take_along_axis(x, keep[:, :, None], axis=1)
      valid = jnp.take_along_axis(valid, keep, axis=1)
    x = jnp.concatenate([*self._prefix(len(x)), x], axis=1)
    before = jnp.ones((len(x), self.num_prefix), bool)
    seen = None if self.padded else jnp.concatenate([before, valid], axis=1)
    x = run_stack(
      self.blocks,
      drop_values(x, rate=self.dropout, **random),
      scopes=[Scope(valid=seen)],
      drop_path=self.drop_path,
      remat=self.remat,
      unroll=self.unroll,
      **random,
    )
    return self.norm(x), valid

  def patches(self, frames: Frames) -> Float[Array, "B N P"]:
    """Cuts a spectrogram into patches, each laid out as (frame, band)."""
    x = frames.features if self.padded else silenced(frames)
    (bands, stride), size = self.stride, self.patch_size
    if x.shape[1] > self.length:
      raise ValueError(f"length={self.length}: found {x.shape[1]} frames")
    times = self._times(x.shape[1])
    short = max((times - 1) * stride + size - x.shape[1], 0)
    x = windows(jnp.pad(x, ((0, 0), (0, short), (0, 0))), size=size, stride=stride)
    places = np.arange(self.grid[1])[:, None] * bands + np.arange(size)[None]  # bands size
    x = x.reshape(*x.shape[:2], size, self.num_mels)[..., places]  # B T frame F size
    x = jnp.swapaxes(x, 2, 3)  # B T frame F size -> B T F frame size
    return x.reshape(len(x), times * self.grid[1], size * size)

  def _times(self, frames: int) -> int:
    """Patches that stand in a row; all frames are in one of them, unless sounds are padded."""
    more = max(frames - self.patch_size, 0)
    return (more if self.padded else more + self.stride[1] - 1) // self.stride[1] + 1

  def _valid(self, frames: Int[Array, " B"], length: int) -> Bool[Array, "B N"]:
    """Those with a real frame; unless sounds are padded, one that no other patch holds."""
    step = self.stride[1]
    others = jnp.maximum(frames - self.patch_size, 0)
    counts = -(-frames // step) if self.padded else -(-others // step) + (frames > 0)
    return jnp.repeat(real_frames(counts, self._times(length)), self.grid[1], axis=1)

  def _positions(self, count: int) -> Float[Array, "N D"]:
    table = self.position_table
    table = sincos_table(self.embed_dim, self.grid) if table is None else table[...]
    return jnp.asarray(table, self.dtype)[:count]

  def _prefix(self, batch: int) -> list[Float[Array, "B 1 D"]]:
    rows = []
    for i in range(self.num_prefix):
      token = getattr(self, f"prefix_token{i}")[...]
      token = token if self.prefix_position is None else token + self.prefix_position[i]
      rows.append(jnp.broadcast_to(token.astype(self.dtype), (batch, 1, self.embed_dim)))
    return rows


def _log_mel(num_mels: int, length: int | None, normalise: str, mean: float, std: float) -> LogMel:
  if normalise == "utterance":
    return speech_log_mel(num_mels, length=length)
  return kaldi_log_mel(num_mels, length=length, mean=mean, std=std)
