"""Masked autoencoding: encode a quarter of the patches, reconstruct the pixels of the rest."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax import masking
from pretrainjax.config.follow import Follows, equals
from pretrainjax.losses.reconstruction import normalize_patches, patch_mse
from pretrainjax.models.layers.patch import patchify
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.ranges import OpenFraction, check_ranges
from pretrainjax.types import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class MAE(Objective):
  """Masked autoencoding of images "B H W C".

      loss = mean over images and their hidden patches of |decoder(encoder(visible)) - patch|^2 / P

  Args:
    backbone: makes the encoder, a ViT.
    decoder: makes the network from visible tokens to pixels of all patches.
    mask_ratio: share of hidden patches, in (0, 1).
    norm_pix_loss: reconstruct each patch normalised by its own mean and variance.

  Reference: arXiv 2111.06377. The class token goes through the decoder as in the paper's code.

  >>> import functools
  >>> from pretrainjax.models.decoder import MAEDecoder
  >>> from pretrainjax.models.vit import ViT
  >>> sizes = {"embed_dim": 8, "num_layers": 1, "num_heads": 2}
  >>> objective = MAE(
  ...   backbone=functools.partial(ViT, image_size=8, patch_size=4, mlp_dim=16, **sizes),
  ...   decoder=functools.partial(MAEDecoder, grid=(2, 2), patch_dim=48, encoder_dim=8, **sizes),
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module)), masking.num_visible(4, objective.mask_ratio)
  (['decoder', 'encoder'], 1)
  """

  backbone: Callable
  decoder: Callable
  mask_ratio: OpenFraction = 0.75
  norm_pix_loss: bool = True

  follows: ClassVar[Follows] = {
    "decoder.grid": equals("objective.backbone.grid"),
    "decoder.num_prefix": equals("objective.backbone.num_prefix"),
    "decoder.encoder_dim": equals("objective.backbone.embed_dim"),
    "decoder.patch_dim": equals("objective.backbone.patch_dim"),
  }

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    encoder, decoder = self.backbone(rngs=rngs), self.decoder(rngs=rngs)
    expect("objective.decoder.grid", decoder.grid, encoder.grid)
    expect("objective.decoder.num_prefix", decoder.num_prefix, encoder.num_prefix)
    expect("objective.decoder.encoder_dim", decoder.embed.in_features, encoder.embed_dim)
    expect("objective.decoder.patch_dim", decoder.predict.out_features, encoder.patch_dim)
    return Towers(encoder=encoder, decoder=decoder)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoder, images = module.encoder, module.encoder.inputs(batch)
    num_patches = encoder.grid[0] * encoder.grid[1]
    num_keep = masking.num_visible(num_patches, self.mask_ratio)
    shape = (len(images), num_patches)
    visible = masking.random_mask(rngs.mask(), shape, mask_ratio=self.mask_ratio)
    keep = masking.keep_indices(visible, num_keep)
    hidden = masking.hidden_indices(visible, num_patches - num_keep)

    sequence = encoder.sequence(images, keep=keep, deterministic=False, rngs=rngs)
    prediction = module.decoder(sequence, keep=keep, hidden=hidden)
    loss = jnp.mean(patch_mse(prediction, self._target(encoder, images, hidden)))
    features = jnp.mean(sequence[:, encoder.num_prefix :].astype(jnp.float32), axis=1)
    return loss, {"loss": loss, "feature_std": feature_std(features)}

  def _target(self, encoder, images, hidden: Int[Array, "B M"]) -> Float[Array, "B M P"]:
    """The hidden patches, normalised as the encoder's input is, then perhaps each by itself."""
    patches = patchify(images, encoder.patch_size)
    patches = jnp.take_along_axis(patches, hidden[:, :, None], axis=1)
    pixels = encoder.normalize(patches.reshape(*hidden.shape, -1, images.shape[-1]))
    target = pixels.reshape(*hidden.shape, -1)
    return normalize_patches(target) if self.norm_pix_loss else target
