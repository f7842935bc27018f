"""The light decoder of MAE: from visible tokens to the values of hidden patches."""

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.norm import LayerNorm
from pretrainjax.models.layers.position import sincos_table
from pretrainjax.models.layers.scope import Scope
from pretrainjax.models.layers.stack import Remat, make_stack, run_stack
from pretrainjax.ranges import FewInt, NonNegativeInt, PositiveFloat, PositiveInt, ranged


class MAEDecoder(nnx.Module):
  """Puts a mask token at each hidden position and predicts the pixels there.

  Attention does not mind the order of tokens, since positions are added to them. So visible
  tokens are never scattered back among mask tokens: the sequence is prefix, visible, hidden, and
  only the last part goes through the last norm and the projection to pixels.

  Args:
    grid: rows and columns of patches.
    patch_dim: values of a patch, P.
    encoder_dim: width of the encoder's tokens.
    num_prefix: tokens before the patches that the encoder hands over (class token, registers).
    embed_dim: width of the decoder's tokens.
    num_layers: number of blocks, at least 1.
    num_heads: number of attention heads.
    mlp_dim: width inside the perceptrons; None is 4 times embed_dim.
    window: rows and columns of the windows that patches see each other in, every second layer in
      windows that lie half of one further on; None lets all see all. The tokens before the patches
      are then left out.
    activation: the activation of the perceptrons.
    eps: the number added to variances in the layer norms, see `ViT`.
    dtype: the dtype of the computation, "float32" or "bfloat16"; parameters are float32.
    remat: what the backward pass recomputes, see `layers.stack.Remat`.
    unroll: number of blocks in an iteration of the loop over layers.
    rngs: keys for the initial parameters.

  Reference: MAE, arXiv 2111.06377, section 3 and appendix A.1 (512 wide, 8 layers, 16 heads);
  windows as in AudioMAE, 2207.06405, section 3 (16 layers, 4 x 4). Ours differs from the blocks of
  Swin in its code in that they have no table of relative positions, and in that windows are a
  mask: they tell what is seen, and save no work.
  """

  @ranged
  def __init__(
    self,
    *,
    grid: tuple[PositiveInt, PositiveInt],
    patch_dim: PositiveInt,
    encoder_dim: PositiveInt,
    num_prefix: NonNegativeInt = 1,
    embed_dim: PositiveInt = 512,
    num_layers: FewInt = 8,
    num_heads: PositiveInt = 16,
    mlp_dim: PositiveInt | None = None,
    window: tuple[PositiveInt, PositiveInt] | None = None,
    activation: Activation = "gelu",
    eps: PositiveFloat = 1e-6,
    dtype: Literal["float32", "bfloat16"] = "float32",
    remat: Remat = "none",
    unroll: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.grid, self.embed_dim, self.num_prefix = grid, embed_dim, num_prefix
    self.window = window
    self.dtype, self.remat, self.unroll = dtype, remat, unroll
    init = nnx.initializers.xavier_uniform()
    self.embed = nnx.Linear(encoder_dim, embed_dim, dtype=dtype, kernel_init=init, rngs=rngs)
    self.mask_token = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (embed_dim,)))
    self.blocks = make_stack(
      num_layers,
      rngs=rngs,
      embed_dim=embed_dim,
      num_heads=num_heads,
      mlp_dim=mlp_dim or 4 * embed_dim,
      activation=activation,
      eps=eps,
      dtype=dtype,
    )
    self.norm = LayerNorm(embed_dim=embed_dim, eps=eps)
    self.predict = nnx.Linear(embed_dim, patch_dim, dtype=dtype, kernel_init=init, rngs=rngs)

  def __call__(
    self,
    tokens: Float[Array, "B L D"],
    *,
    keep: Int[Array, "B M"],
    hidden: Int[Array, "B R"],
    valid: Bool[Array, "B N"] | None = None,
    patches: Literal["hidden", "all"] = "hidden",
  ) -> Float[Array, "B _ P"]:
    """Predicts patches.

    Args:
      tokens: what the encoder's `sequence(inputs, keep=keep)` returned, L being num_prefix + M.
      keep: indices of the visible patches, in the order of `tokens`.
      hidden: indices of all other patches, in any order.
      valid: True for patches that are no padding, which sees and is seen by nothing else; None is
        all.
      patches: which to predict: "hidden" in the order of `hidden`, or "all" row by row, those of
        visible patches being what the decoder happens to say there.

    Returns:
      "B R P" or "B N P".
    """
    table = jnp.asarray(sincos_table(self.embed_dim, self.grid), self.dtype)
    places = jnp.concatenate([keep, hidden], axis=1)  # B N
    x = self.embed(tokens)
    before = 0 if self.window is not None else self.num_prefix
    prefix, visible = x[:, :before], x[:, self.num_prefix :]
    visible = visible + jnp.take(table, keep, axis=0)
    masks = self.mask_token[...].astype(self.dtype).reshape(1, 1, -1)
    masks = masks + jnp.take(table, hidden, axis=0)
    x = jnp.concatenate([prefix, visible, masks], axis=1)
    scopes = self._scopes(places, valid, before)
    x = run_stack(self.blocks, x, scopes=scopes, remat=self.remat, unroll=self.unroll)
    if patches == "hidden":
      return self.predict(self.norm(x[:, before + keep.shape[1] :]))
    order = jnp.argsort(places, axis=1)
    return jnp.take_along_axis(self.predict(self.norm(x[:, before:])), order[:, :, None], axis=1)

  def _scopes(
    self, places: Int[Array, "B N"], valid: Bool[Array, "B N"] | None, before: int
  ) -> list[Scope]:
    """What the tokens of patches at some places, and of so many before them, see in each layer."""
    if valid is not None:
      valid = jnp.take_along_axis(valid, places, axis=1)
    if self.window is None:
      first = jnp.ones((len(places), before), bool)
      return [Scope(valid=None if valid is None else jnp.concatenate([first, valid], axis=1))]
    (height, width), columns = self.window, self.grid[1]
    scopes = []
    for down, right in ((0, 0), (height // 2, width // 2)):
      row, column = (places // columns + down) // height, (places % columns + right) // width
      windows = 1 + row * columns + column  # there are at most `columns` side by side
      scopes.append(Scope(segments=windows if valid is None else jnp.where(valid, windows, 0)))
    return scopes
