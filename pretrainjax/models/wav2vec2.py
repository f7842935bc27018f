"""wav2vec 2.0 and HuBERT: convolutions on the waveform, then a transformer."""

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool

from pretrainjax.models.layers.conv_position import ConvPosition
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.frames import Frames, silenced
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.models.layers.scope import Scope
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.models.layers.waveform import Waveform, normalised_audio
from pretrainjax.models.sound_encoder import SoundEncoder, hide
from pretrainjax.ranges import FewInt, NonNegativeFloat, PositiveFloat, PositiveInt, Rate, ranged
from pretrainjax.types import Encoded, Sound


class Wav2Vec2(SoundEncoder):
  """A transformer on frames of 25 ms every 20 ms, which convolutions make of the waveform.

  Args:
    embed_dim: width of frames, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    conv_dims: channels of the convolutions on the waveform.
    conv_sizes: their kernels; with the strides below a frame stands on 400 samples.
    conv_strides: their strides, 320 samples a frame altogether.
    conv_bias: whether they have a bias.
    conv_norm: "group" normalises the first one's channels over time (base), "layer" the channels
      of each (large).
    feature_norm: whether their features are normalised before they are projected; only HuBERT can
      be without.
    position_size: frames of the convolution that stands for positions.
    position_groups: its groups of channels.
    position_norm: "weight", or a "batch" norm before it, as HuBERT may have it.
    order: "post" puts norms behind the branches (base), "pre" before them (large).
    activation: the activation of the perceptrons.
    conv_activation: that of all convolutions.
    normalise: whether the real samples of each row get mean 0 and variance 1.
    use_mask: whether there is a vector for hidden frames.
    sample_rate: samples a second.
    eps: the number added to variances in the norms of frames.
    dropout: rate behind the positions and at the end of each branch, in [0, 1).
    inner_dropout: rate after the perceptrons' activation.
    attention_dropout: rate on attention's weights.
    feature_dropout: rate after the projection of features.
    init_std: standard deviation of the normal distribution that the blocks' weights start from.
    dtype: the dtype of the computation; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for arguments that do not fit together.

  Reference: arXiv 2006.11477; HuBERT, 2106.07447. Ours differs from both codes in that padding
  never counts, neither in the norm over time nor in positions: each row is encoded as if it stood
  alone. There are no layers that are skipped at random, nor adapters.
  """

  @ranged
  def __init__(
    self,
    *,
    embed_dim: PositiveInt = 768,
    num_layers: FewInt = 12,
    num_heads: PositiveInt = 12,
    mlp_dim: PositiveInt = 3072,
    conv_dims: tuple[PositiveInt, ...] = (512, 512, 512, 512, 512, 512, 512),
    conv_sizes: tuple[PositiveInt, ...] = (10, 3, 3, 3, 3, 2, 2),
    conv_strides: tuple[PositiveInt, ...] = (5, 2, 2, 2, 2, 2, 2),
    conv_bias: bool = False,
    conv_norm: Literal["group", "layer"] = "group",
    feature_norm: bool = True,
    position_size: PositiveInt = 128,
    position_groups: PositiveInt = 16,
    position_norm: Literal["weight", "batch"] = "weight",
    order: Literal["post", "pre"] = "post",
    activation: Activation = "gelu",
    conv_activation: Activation = "gelu",
    normalise: bool = True,
    use_mask: bool = True,
    sample_rate: PositiveInt = 16_000,
    eps: PositiveFloat = 1e-5,
    dropout: Rate = 0.0,
    inner_dropout: Rate = 0.0,
    attention_dropout: Rate = 0.0,
    feature_dropout: Rate = 0.0,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.embed_dim, self.sample_rate = embed_dim, sample_rate
    self.order, self.normalise = order, normalise
    self.dropout, self.feature_dropout = dropout, feature_dropout
    self.dtype, self.remat, self.unroll = dtype, remat, unroll
    made = {"dtype": dtype, "rngs": rngs}
    convs = {"dims": conv_dims, "sizes": conv_sizes, "strides": conv_strides, "norm": conv_norm}
    convs |= {"use_bias": conv_bias, "activation": conv_activation}
    self.waveform = Waveform(**convs, **made)
    self.feature_dim = width = conv_dims[-1]
    self.feature_norm = LayerNorm(embed_dim=width, eps=eps) if feature_norm else None
    self.projection = nnx.Linear(width, embed_dim, **made)
    uniform = nnx.initializers.uniform(1.0)
    self.mask_vector = nnx.Param(uniform(rngs.params(), (embed_dim,))) if use_mask else None
    places = {"size": position_size, "groups": position_groups, "norm": position_norm}
    places |= {"activation": conv_activation}
    self.position = ConvPosition(embed_dim=embed_dim, **places, **made)
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)
    sizes = {"embed_dim": embed_dim, "num_heads": num_heads, "mlp_dim": mlp_dim, "eps": eps}
    rates = {"dropout": dropout, "inner_dropout": inner_dropout}
    branches = {"order": order, "activation": activation, "attention_dropout": attention_dropout}
    branches |= {"kernel_init": nnx.initializers.normal(init_std)}
    self.blocks = make_stack(num_layers, **sizes, **rates, **branches, **made)

  @property
  def receptive_field(self) -> int:
    """The number of samples that a frame stands on."""
    return self.waveform.receptive_field

  def valid(self, inputs: Sound) -> Bool[Array, "B N"]:
    """Which frames are real, see `SoundEncoder.valid`."""
    return self.waveform.valid(inputs)

  def features(self, inputs: Sound) -> Frames:
    """The features of the convolutions, normalised: what is projected, and what is quantised."""
    return self.normalised(self.convolved(inputs))

  def convolved(self, inputs: Sound) -> Frames:
    """The features of the convolutions as they are."""
    return self.waveform(normalised_audio(inputs) if self.normalise else inputs)

  def normalised(self, frames: Frames) -> Frames:
    """What `features` makes of those of `convolved`."""
    if self.feature_norm is None:
      return frames
    return Frames(self.feature_norm(frames.features), frames.valid)

  def encode(
    self,
    frames: Frames,
    *,
    masked: Bool[Array, "B N"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes features, see `SoundEncoder.encode`."""
    random, valid = {"deterministic": deterministic, "rngs": rngs}, frames.valid
    x = self.projection(frames.features)
    x = drop_values(x, rate=self.feature_dropout, **random)
    x = silenced(Frames(hide(x, masked, vector=self.mask_vector), valid))
    x = x + self.position(Frames(x, valid), deterministic=deterministic)
    x = self.norm(x) if self.order == "post" else x
    x = run_stack(
      self.blocks,
      drop_values(x, rate=self.dropout, **random),
      scopes=[Scope(valid=valid)],
      remat=self.remat,
      unroll=self.unroll,
      **random,
    )
    x = self.norm(x) if self.order == "pre" else x
    return Encoded(x, mean_pool(x, valid), jnp.asarray(valid))
