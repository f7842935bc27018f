"""The vision transformer."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Num

from pretrainjax.errors import nearest
from pretrainjax.models.image_encoder import ImageEncoder
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.patch import PatchEmbed, Patches, grid_size, patchify
from pretrainjax.models.layers.pool import AttentionPool, mean_pool
from pretrainjax.models.layers.position import sincos_table
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.models.pixels import check_statistics
from pretrainjax.ranges import (
  FewInt,
  Finite,
  NonNegativeInt,
  PositiveFloat,
  PositiveInt,
  Rate,
  ranged,
)
from pretrainjax.types import AxisSize, Encoded


class Size(NamedTuple):
  """The sizes of a ViT that a variant's letters stand for."""

  embed_dim: int
  num_layers: int
  num_heads: int
  mlp_dim: int


VARIANTS = {
  "Ti": Size(192, 12, 3, 768),  # DeiT, arXiv 2012.12877, table 1
  "S": Size(384, 12, 6, 1536),  # DeiT, table 1
  "B": Size(768, 12, 12, 3072),  # ViT, arXiv 2010.11929, table 1
  "L": Size(1024, 24, 16, 4096),  # ViT, table 1
  "H": Size(1280, 32, 16, 5120),  # ViT, table 1
}


def vit_variant(name: str) -> dict[str, int]:
  """The arguments of `ViT` that a name such as "B/16" stands for (16 is the patch size).

  Raises:
    ValueError: for a name that is none.

  >>> vit_variant("Ti/4")["patch_size"], vit_variant("Ti/4")["embed_dim"]
  (4, 192)
  """
  letters, _, patch_size = name.partition("/")
  if letters not in VARIANTS or not patch_size.isdigit() or int(patch_size) < 1:
    choices = [f"{v}/{patch_size or 16}" for v in VARIANTS]
    raise ValueError(f"variant '{name}': expected SIZE/PATCH{nearest(name, choices)}")
  return {**VARIANTS[letters]._asdict(), "patch_size": int(patch_size)}


def _learned(shape: tuple[int, ...], rngs: nnx.Rngs) -> nnx.Param:
  return nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), shape))


def _check_token(*, pool: str, use_cls: bool, position: str, cls_position: bool) -> None:
  """Refuses uses of a class token that is not there."""
  if pool == "cls" and not use_cls:
    raise ValueError("pool='cls': needs use_cls=True")
  if cls_position and not (use_cls and position == "learned"):
    raise ValueError("cls_position=True: needs use_cls=True and position='learned'")


class ViT(ImageEncoder):
  """A vision transformer: patches of an image are the tokens of a pre-norm transformer.

  Args:
    image_size: in pixels, one number for squares or (height, width).
    patch_size: in pixels; must divide the image, unless `cut_edges`.
    num_channels: channels C of the images.
    embed_dim: width of tokens, D.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads; must divide embed_dim.
    mlp_dim: width inside the perceptrons.
    pool: what `pooled` is: the class token, the mean of the patches, or attention pooling.
    use_cls: whether there is a class token; pool "cls" needs it, MAE has it even for "mean".
    position: "sincos" is fixed, "learned" starts from a normal distribution of std 0.02.
    cls_position: whether the class token has a position of its own, as in published weights; to a
      learned token it adds nothing.
    num_registers: further tokens that belong to no patch (arXiv 2309.16588).
    patch_bias: whether the embedding of patches has a bias.
    cut_edges: pixels that fill no patch, to the right and below, are left out, as a convolution
      does (SigLIP's 384 pixels in patches of 14); False refuses such sizes.
    embedding_norm: layer norm over tokens before the first block (CLIP).
    layer_scale: initial value of learned scales of the residual branches; None has none.
    activation: the activation of the perceptrons.
    gated: whether they are gated; with "silu" SwiGLU, as in DINOv2's largest (arXiv 2304.07193).
    eps: the number added to variances in the layer norms: 1e-6 in MAE, DINO and timm, 1e-12 by
      default in Hugging Face's.
    drop_path: rate of the last block, rising from 0 in the first, in [0, 1).
    dropout: rate after the embedding and in the blocks, in [0, 1).
    final_norm: layer norm over tokens before pooling.
    pool_norm: layer norm over `pooled` (the "fc_norm" that MAE fine-tunes with instead).
    image_mean: mean of pixels / 255, one value or one a channel.
    image_std: standard deviation of pixels / 255, likewise.
    dtype: the dtype of the computation, "float32" or "bfloat16"; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for arguments that do not fit together.

  Reference: arXiv 2010.11929; initial values as in MAE, arXiv 2111.06377. Ours differs in that
  the class token has no row in the position table unless `cls_position` asks for it.
  """

  @ranged
  def __init__(
    self,
    *,
    image_size: PositiveInt | tuple[PositiveInt, PositiveInt],
    patch_size: PositiveInt,
    num_channels: PositiveInt = 3,
    embed_dim: PositiveInt,
    num_layers: FewInt,
    num_heads: PositiveInt,
    mlp_dim: PositiveInt,
    pool: Literal["cls", "mean", "map"] = "cls",
    use_cls: bool = True,
    position: Literal["sincos", "learned"] = "sincos",
    cls_position: bool = False,
    num_registers: NonNegativeInt = 0,
    patch_bias: bool = True,
    cut_edges: bool = False,
    embedding_norm: bool = False,
    layer_scale: Finite | None = None,
    activation: Activation = "gelu",
    gated: bool = False,
    eps: PositiveFloat = 1e-6,
    drop_path: Rate = 0.0,
    dropout: Rate = 0.0,
    final_norm: bool = True,
    pool_norm: bool = False,
    image_mean: tuple[Finite, ...] = (0.5,),
    image_std: tuple[PositiveFloat, ...] = (0.5,),
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.grid = grid_size(image_size, patch_size, cut_edges=cut_edges)
    check_statistics(image_mean, image_std, num_channels)
    _check_token(pool=pool, use_cls=use_cls, position=position, cls_position=cls_position)
    self.patch_size, self.num_channels, self.embed_dim = patch_size, num_channels, embed_dim
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    self.image_shape = (*sides, num_channels)
    self.patch_dim = patch_size * patch_size * num_channels
    self.pool, self.use_cls, self.num_registers = pool, use_cls, num_registers
    self.image_mean, self.image_std = image_mean, image_std
    self.drop_path, self.dropout = drop_path, dropout
    self.dtype, self.remat, self.unroll = dtype, remat, unroll
    patches = {"patch_dim": self.patch_dim, "embed_dim": embed_dim, "dtype": dtype}
    self.patch_embed = PatchEmbed(**patches, use_bias=patch_bias, rngs=rngs)
    self.cls_token = _learned((embed_dim,), rngs) if use_cls else None
    self.cls_position = _learned((1, embed_dim), rngs) if cls_position else None
    self.register_tokens = _learned((num_registers, embed_dim), rngs) if num_registers else None
    table = (self.grid[0] * self.grid[1], embed_dim)
    self.position_table = _learned(table, rngs) if position == "learned" else None
    norm = {"embed_dim": embed_dim, "eps": eps}
    self.embedding_norm = LayerNorm(**norm) if embedding_norm else None
    sizes = {**norm, "num_heads": num_heads, "mlp_dim": mlp_dim, "activation": activation}
    branches = {"gated": gated, "dropout": dropout, "layer_scale": layer_scale}
    self.blocks = make_stack(num_layers, rngs=rngs, **sizes, **branches, dtype=dtype)
    self.norm = LayerNorm(**norm) if final_norm else None
    self.attention_pool = AttentionPool(**sizes, dtype=dtype, rngs=rngs) if pool == "map" else None
    self.pool_norm = LayerNorm(**norm) if pool_norm else None

  @property
  def num_prefix(self) -> int:
    """The number of tokens before the patches: the class token, then the registers."""
    return int(self.use_cls) + self.num_registers

  def __call__(
    self,
    images: Num[Array | np.ndarray, "B H W C"],
    *,
    keep: Int[Array, "B M"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes images; the arguments are those of `sequence`."""
    x = self.sequence(images, keep=keep, deterministic=deterministic, rngs=rngs)
    tokens = x[:, self.num_prefix :]
    pooled = self._pooled(x, tokens)
    if self.pool_norm is not None:
      pooled = self.pool_norm(pooled)
    return Encoded(tokens=tokens, pooled=pooled, valid=jnp.ones(tokens.shape[:2], bool))

  def sequence(
    self,
    images: Num[Array | np.ndarray, "B H W C"],
    *,
    keep: Int[Array, "B M"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B L D"]:
    """The features of all tokens after the last norm: `num_prefix` of them, then patches.

    Args:
      images: uint8, normalised here, or float, taken as normalised.
      keep: which patches to encode, row-major indices; no work is spent on others. None: all.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call.

    Returns:
      "B L D", L being num_prefix + M, or num_prefix + N without `keep`.
    """
    x = self._embed(images, keep)
    x = drop_values(x, rate=self.dropout, deterministic=deterministic, rngs=rngs)
    x = run_stack(
      self.blocks,
      x,
      drop_path=self.drop_path,
      remat=self.remat,
      unroll=self.unroll,
      deterministic=deterministic,
      rngs=rngs,
    )
    return x if self.norm is None else self.norm(x)

  def mask_shape(self, images: Num[Array | np.ndarray, "B H W C"]) -> tuple[int, int]:
    """The number of images and of the patches of each, (B, N)."""
    return len(images), self.grid[0] * self.grid[1]

  def valid(self, images: Num[Array | np.ndarray, "B H W C"]) -> None:
    """Which patches are no padding: None, since all are."""

  def patches_at(
    self, images: Num[Array | np.ndarray, "B H W C"], places: Int[Array, "B R"]
  ) -> Patches:
    """Some patches, normalised as the input is.

    Args:
      images: as of `sequence`.
      places: which patches, row-major indices.
    """
    patches = jnp.take_along_axis(self._patches(images), places[:, :, None], axis=1)
    pixels = self.normalize(patches.reshape(*places.shape, -1, self.num_channels))
    return Patches(pixels.reshape(*places.shape, -1))  # B R pixels C -> B R P

  def _patches(self, images) -> Num[Array, "B N P"]:
    rows, columns = (side * self.patch_size for side in self.grid)
    return patchify(images[:, :rows, :columns], self.patch_size)

  def _embed(self, images, keep) -> Float[Array, "B L D"]:
    if images.shape[1:] != self.image_shape:
      raise ValueError(f"images have shape {images.shape[1:]}: expected {self.image_shape}")
    patches = self._patches(images)
    if keep is not None:
      # Before anything is computed of them, and while they still are bytes.
      patches = jnp.take_along_axis(patches, keep[:, :, None], axis=1)
    batch, count, _ = patches.shape
    pixels = self.normalize(patches.reshape(batch, count, -1, self.num_channels))
    x = self.patch_embed(pixels.reshape(batch, count, -1)) + self._positions(keep)
    x = jnp.concatenate([*self._prefix(batch), x], axis=1)
    return x if self.embedding_norm is None else self.embedding_norm(x)

  def _positions(self, keep) -> Float[Array, "B M D"]:
    table = self.position_table
    table = sincos_table(self.embed_dim, self.grid) if table is None else table[...]
    table = jnp.asarray(table, self.dtype)
    return table[None] if keep is None else jnp.take(table, keep, axis=0)

  def _prefix(self, batch: AxisSize) -> list[Float[Array, "B _ D"]]:
    rows = []
    if self.cls_token is not None:
      token = self.cls_token[...][None]
      rows.append(token if self.cls_position is None else token + self.cls_position[...])
    if self.register_tokens is not None:
      rows.append(self.register_tokens[...])
    return [jnp.broadcast_to(r.astype(self.dtype), (batch, *r.shape)) for r in rows]

  def _pooled(self, x, tokens) -> Float[Array, "B D"]:
    if self.pool == "cls":
      return x[:, 0]
    if self.pool == "mean":
      return mean_pool(tokens)
    return self.attention_pool(tokens)
