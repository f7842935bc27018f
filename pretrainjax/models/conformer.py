"""The Conformer on log-mel spectrograms: our own encoder of speech."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool

from pretrainjax.models.layers.conformer_block import ConformerBlock
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.frames import Convolution, Frames, num_windows, real_frames
from pretrainjax.models.layers.log_mel import speech_log_mel
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.models.layers.rotary import rotary_angles
from pretrainjax.models.layers.scope import Scope
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.models.sizes import named_size
from pretrainjax.models.sound_encoder import SoundEncoder, hide
from pretrainjax.ranges import FewInt, PositiveFloat, PositiveInt, Rate, ranged
from pretrainjax.types import Encoded, Sound

# Log-mel frames that one of ours stands for.
SUBSAMPLING = 4


class Size(NamedTuple):
  """The sizes of a Conformer that the name of a size stands for."""

  embed_dim: int
  num_layers: int
  num_heads: int
  mlp_dim: int


# arXiv 2005.08100, table 1; "B" is the encoder of BEST-RQ in SpeechBrain's recipe.
SIZES = {
  "S": Size(144, 16, 4, 576),
  "M": Size(256, 16, 4, 1024),
  "B": Size(576, 12, 8, 2048),
  "L": Size(512, 17, 8, 2048),
}


def conformer_size(name: str) -> dict[str, int]:
  """The arguments of `Conformer` that a size such as "S" stands for.

  Raises:
    ValueError: for a name that is none.

  >>> conformer_size("M")["embed_dim"]
  256
  """
  return named_size(name, SIZES)


class Conformer(SoundEncoder):
  """Attention and convolutions on frames of 40 ms, which two convolutions make of log-mel bands.

  Args:
    num_mels: number of bands of the spectrogram.
    embed_dim: width of frames, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    conv_size: frames of the kernel in the blocks, an odd number.
    theta: the base of the wavelengths of rotary positions.
    use_mask: whether there is a vector for hidden frames.
    eps: the number added to variances in the norms.
    drop_path: rate of the last block, rising from 0 in the first, in [0, 1).
    dropout: rate behind the front end and at the end of each branch.
    attention_dropout: rate on attention's weights.
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Reference: arXiv 2005.08100. Ours differs in its positions, which are rotary (2104.09864) where
  theirs are relative sinusoids; in the front end, whose convolutions are over time alone; and in
  the norm of the convolution, see `layers.conformer_block`.
  """

  @ranged
  def __init__(
    self,
    *,
    num_mels: PositiveInt = 80,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    conv_size: PositiveInt = 31,
    theta: PositiveFloat = 10_000.0,
    use_mask: bool = True,
    eps: PositiveFloat = 1e-5,
    drop_path: Rate = 0.0,
    dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.num_mels = self.feature_dim = num_mels
    self.embed_dim, self.theta = embed_dim, theta
    self.head_dim = embed_dim // num_heads
    if self.head_dim % 2:
      raise ValueError(f"num_heads={num_heads}: rotary positions need heads of an even width")
    self.drop_path, self.dropout = drop_path, dropout
    self.dtype, self.remat, self.unroll = dtype, remat, unroll
    self.log_mel = speech_log_mel(num_mels)
    halving = {"size": 3, "stride": 2, "padding": 1, "dtype": dtype, "rngs": rngs}
    self.conv1 = Convolution(in_dim=num_mels, out_dim=embed_dim, **halving)
    self.conv2 = Convolution(in_dim=embed_dim, out_dim=embed_dim, **halving)
    self.projection = nnx.Linear(embed_dim, embed_dim, dtype=dtype, rngs=rngs)
    normal = nnx.initializers.normal(1.0)
    self.mask_vector = nnx.Param(normal(rngs.params(), (embed_dim,))) if use_mask else None
    self.blocks = make_stack(
      num_layers,
      kind=ConformerBlock,
      rngs=rngs,
      embed_dim=embed_dim,
      num_heads=num_heads,
      mlp_dim=mlp_dim,
      conv_size=conv_size,
      eps=eps,
      dropout=dropout,
      attention_dropout=attention_dropout,
      dtype=dtype,
    )

  @property
  def receptive_field(self) -> int:
    """The number of samples that a frame stands on."""
    return self.log_mel.window_length + 6 * self.log_mel.hop_length

  def valid(self, inputs: Sound) -> Bool[Array, "B N"]:
    """Which frames are real, see `SoundEncoder.valid`."""
    window = {"size": self.log_mel.window_length, "stride": self.log_mel.hop_length}
    length = max(num_windows(inputs.audio.shape[1], **window), 1)
    frames = jnp.asarray(num_windows(jnp.asarray(inputs.num_samples), **window))
    return real_frames(-(-frames // SUBSAMPLING), -(-length // SUBSAMPLING))

  def features(self, inputs: Sound) -> Frames:
    """The log-mel spectrogram, normalised over each row, see `layers.log_mel`."""
    return self.log_mel(inputs)

  def encode(
    self,
    frames: Frames,
    *,
    masked: Bool[Array, "B N"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes a spectrogram, see `SoundEncoder.encode`; a token is four frames of it."""
    random = {"deterministic": deterministic, "rngs": rngs}
    for convolution in (self.conv1, self.conv2):
      found = convolution(frames)
      frames = Frames(jax.nn.relu(found.features), found.valid)
    x = hide(self.projection(frames.features), masked, vector=self.mask_vector)
    places = jnp.broadcast_to(jnp.arange(x.shape[1])[None], x.shape[:2])
    rotary = rotary_angles(places, head_dim=self.head_dim, theta=self.theta)
    x = run_stack(
      self.blocks,
      drop_values(x, rate=self.dropout, **random),
      scopes=[Scope(valid=frames.valid, rotary=rotary)],
      drop_path=self.drop_path,
      remat=self.remat,
      unroll=self.unroll,
      **random,
    )
    return Encoded(x, mean_pool(x, frames.valid), frames.valid)
