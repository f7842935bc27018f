"""Residual convolutional networks."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Num

from pretrainjax.models.image_encoder import ImageEncoder
from pretrainjax.models.layers.norm import BatchNorm
from pretrainjax.models.pixels import check_statistics
from pretrainjax.ranges import FewInt, Finite, PositiveFloat, PositiveInt, ranged
from pretrainjax.types import Encoded

# Blocks a stage, and whether they are bottlenecks: arXiv 1512.03385, table 1. Depth 10 is not in
# it: half of 18, as work on few labels has it (arXiv 1904.04232), and quick to compile.
DEPTHS = {
  10: ((1, 1, 1, 1), False),
  18: ((2, 2, 2, 2), False),
  34: ((3, 4, 6, 3), False),
  50: ((3, 4, 6, 3), True),
  101: ((3, 4, 23, 3), True),
  152: ((3, 8, 36, 3), True),
}
STEM_DIM = 64
_EXPANSION = 4


class Stages(NamedTuple):
  """The stages of a ResNet.

  Attributes:
    counts: blocks of each stage.
    widths: channels that each stage gives out.
    bottleneck: whether blocks have three convolutions.
  """

  counts: tuple[int, ...]
  widths: tuple[int, ...]
  bottleneck: bool


def stages_of(depth: int) -> Stages:
  """The stages that a depth of the paper stands for.

  Raises:
    ValueError: for a depth that is none.

  >>> stages_of(50).widths
  (256, 512, 1024, 2048)
  """
  if depth not in DEPTHS:
    raise ValueError(f"depth={depth}: expected one of {sorted(DEPTHS)}")
  counts, bottleneck = DEPTHS[depth]
  first = STEM_DIM * _EXPANSION if bottleneck else STEM_DIM
  return Stages(counts, tuple(first * 2**i for i in range(len(counts))), bottleneck)


def _conv(
  in_dim: int, out_dim: int, size: int, *, stride: int = 1, dtype: str, rngs: nnx.Rngs
) -> nnx.Conv:
  # The padding is written out: "SAME" pads an even image with stride 2 on one side only.
  return nnx.Conv(
    in_dim,
    out_dim,
    (size, size),
    strides=stride,
    padding=size // 2,
    use_bias=False,
    dtype=dtype,
    kernel_init=nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
    rngs=rngs,
  )


class ResidualBlock(nnx.Module):
  """Two 3x3 convolutions, or 1x1, 3x3 and 1x1, beside a shortcut.

  Args:
    in_dim: channels of the input.
    out_dim: channels of the output; the inner convolutions of a bottleneck have a quarter of them.
    stride: the stride of the (first) 3x3 convolution: v1.5, where v1 has it in the first 1x1.
    bottleneck: True for three convolutions, False for two.
    last_scale: first value of the last BatchNorm's scale.
    dtype: the dtype of the convolutions; BatchNorm computes in float32.
    rngs: keys for the initial parameters.
  """

  @ranged
  def __init__(
    self,
    *,
    in_dim: PositiveInt,
    out_dim: PositiveInt,
    stride: PositiveInt,
    bottleneck: bool,
    last_scale: Finite,
    dtype: str,
    rngs: nnx.Rngs,
  ):
    sizes = (1, 3, 1) if bottleneck else (3, 3)
    inner = out_dim // _EXPANSION if bottleneck else out_dim
    widths = [in_dim] + [inner] * (len(sizes) - 1) + [out_dim]
    strided = sizes.index(3)
    self.num_convs = len(sizes)
    for i, size in enumerate(sizes):
      conv_stride = stride if i == strided else 1
      conv = _conv(widths[i], widths[i + 1], size, stride=conv_stride, dtype=dtype, rngs=rngs)
      last = i == len(sizes) - 1
      setattr(self, f"conv{i + 1}", conv)
      norm = BatchNorm(num_features=widths[i + 1], scale_init=last_scale if last else 1.0)
      setattr(self, f"norm{i + 1}", norm)
    same = stride == 1 and in_dim == out_dim
    shortcut = None if same else _conv(in_dim, out_dim, 1, stride=stride, dtype=dtype, rngs=rngs)
    self.shortcut_conv = shortcut
    self.shortcut_norm = None if same else BatchNorm(num_features=out_dim)

  def __call__(self, x: Float[Array, "B H W C"], *, deterministic: bool) -> Float[Array, "B h w c"]:
    """Runs the block; deterministic=False updates the running statistics."""
    y = x
    for i in range(1, self.num_convs + 1):
      y = getattr(self, f"conv{i}")(y)
      y = getattr(self, f"norm{i}")(y, deterministic=deterministic)
      y = jax.nn.relu(y) if i < self.num_convs else y
    if self.shortcut_conv is not None:
      x = self.shortcut_norm(self.shortcut_conv(x), deterministic=deterministic)
    return jax.nn.relu(x + y)


class ResNet(ImageEncoder):
  """ResNet (v1.5), without the classifier.

  Args:
    depth: 10, 18, 34, 50, 101 or 152; None for stages of one's own.
    counts: blocks of each stage, with depth=None.
    widths: channels that each stage gives out, with depth=None.
    bottleneck: whether blocks have three convolutions and not two, with depth=None.
    stem_dim: channels of the first convolution.
    num_channels: channels C of the images.
    stem: "imagenet" is a 7x7 convolution of stride 2 and a max-pool, "cifar" one 3x3
      convolution, which keeps the resolution of small images.
    zero_init_last: whether residual branches start at 0 (arXiv 1706.02677, section 5.1).
    image_mean: mean of pixels / 255, one value or one a channel.
    image_std: standard deviation of pixels / 255, likewise.
    dtype: the dtype of the convolutions, "float32" or "bfloat16"; parameters are float32.
    rngs: keys for the initial parameters.

  Reference: arXiv 1512.03385; the CIFAR stem as in SimCLR, arXiv 2002.05709, appendix B.9.
  """

  @ranged
  def __init__(
    self,
    *,
    depth: Literal[10, 18, 34, 50, 101, 152] | None = 50,
    counts: tuple[FewInt, ...] | None = None,
    widths: tuple[PositiveInt, ...] | None = None,
    bottleneck: bool | None = None,
    stem_dim: PositiveInt = STEM_DIM,
    num_channels: PositiveInt = 3,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    zero_init_last: bool = True,
    image_mean: tuple[Finite, ...] = (0.485, 0.456, 0.406),
    image_std: tuple[PositiveFloat, ...] = (0.229, 0.224, 0.225),
    dtype: Literal["float32", "bfloat16"] = "float32",
    rngs: nnx.Rngs,
  ):
    stages = _stages(depth, counts, widths, bottleneck)
    check_statistics(image_mean, image_std, num_channels)
    self.num_channels, self.stem, self.dtype = num_channels, stem, dtype
    self.image_mean, self.image_std = image_mean, image_std
    self.image_shape = (None, None, num_channels)
    size, stride = (7, 2) if stem == "imagenet" else (3, 1)
    self.stem_conv = _conv(num_channels, stem_dim, size, stride=stride, dtype=dtype, rngs=rngs)
    self.stem_norm = BatchNorm(num_features=stem_dim)
    self.embed_dim = stem_dim  # grows with each block
    names = []
    for stage, index in [(s, b) for s, count in enumerate(stages.counts) for b in range(count)]:
      names.append(f"stage{stage + 1}_block{index + 1}")
      block = ResidualBlock(
        in_dim=self.embed_dim,
        out_dim=stages.widths[stage],
        stride=2 if stage > 0 and index == 0 else 1,
        bottleneck=stages.bottleneck,
        last_scale=0.0 if zero_init_last else 1.0,
        dtype=dtype,
        rngs=rngs,
      )
      setattr(self, names[-1], block)
      self.embed_dim = stages.widths[stage]
    self.block_names = tuple(names)

  def __call__(
    self,
    images: Num[Array | np.ndarray, "B H W C"],
    *,
    keep: Any = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes images.

    Args:
      images: uint8, normalised here, or float, taken as normalised; any size.
      keep: must be None: a convolution cannot leave places out.
      deterministic: False uses the batch's statistics and updates the running ones.
      rngs: unused, nothing is random.

    Returns:
      The last feature map as tokens, row by row, and its mean.
    """
    del rngs
    if keep is not None:
      raise ValueError("ResNet sees whole images: keep must be None")
    x = self.normalize(images).astype(self.dtype)
    x = jax.nn.relu(self.stem_norm(self.stem_conv(x), deterministic=deterministic))
    if self.stem == "imagenet":
      x = _max_pool(x)
    for name in self.block_names:
      x = getattr(self, name)(x, deterministic=deterministic)
    tokens = x.reshape(x.shape[0], -1, self.embed_dim)  # B h w D -> B N D
    pooled = jnp.mean(tokens.astype(jnp.float32), axis=1).astype(x.dtype)
    return Encoded(tokens=tokens, pooled=pooled, valid=jnp.ones(tokens.shape[:2], bool))


def _stages(
  depth: int | None,
  counts: tuple[int, ...] | None,
  widths: tuple[int, ...] | None,
  bottleneck: bool | None,
) -> Stages:
  own = {"counts": counts, "widths": widths, "bottleneck": bottleneck}
  if depth is not None:
    if given := [name for name, value in own.items() if value is not None]:
      raise ValueError(f"{given[0]}={own[given[0]]}: expected depth=None beside it")
    return stages_of(depth)
  if counts is None or widths is None or bottleneck is None:
    raise ValueError("depth=None: expected counts, widths and bottleneck")
  if not counts or len(counts) != len(widths):
    raise ValueError(f"widths={widths}: expected one for each of counts={counts}")
  if bottleneck and min(widths) < _EXPANSION:
    raise ValueError(f"widths={widths}: expected at least {_EXPANSION} for bottlenecks")
  return Stages(counts, widths, bottleneck)


def _max_pool(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
  """The maximum over 3x3 windows, with stride 2."""
  return nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
