"""Masked autoencoding: encode a quarter of the patches, reconstruct the pixels of the rest."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax import masking
from pretrainjax.losses.reconstruction import normalize_patches, patch_mse
from pretrainjax.models.layers.patch import patchify
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.objectives.collapse import feature_std
from pretrainjax.types import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class MAE(Objective):
  """Masked autoencoders on images "B H W C".

  Args:
    backbone: makes the encoder, a ViT.
    decoder: makes the network from visible tokens to pixels of all patches.
    mask_ratio: share of hidden patches, in (0, 1).
    norm_pix_loss: reconstruct each patch normalised by its own mean and variance.

  Reference: arXiv 2111.06377. The class token goes through the decoder as in the paper's code.
  """

  backbone: Callable
  decoder: Callable
  mask_ratio: float = 0.75
  norm_pix_loss: bool = True

  def __post_init__(self):
    if not 0 < self.mask_ratio < 1:
      raise ValueError(f"mask_ratio: found {self.mask_ratio}, expected above 0 and below 1")

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    return Towers(encoder=self.backbone(rngs=rngs), decoder=self.decoder(rngs=rngs))

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    images = module.encoder.normalize(batch["image"])
    target = patchify(images, module.encoder.patch_size)  # B N P
    if self.norm_pix_loss:
      target = normalize_patches(target)
    visible = masking.random_mask(rngs.mask(), target.shape[:2], mask_ratio=self.mask_ratio)
    num_keep = masking.num_visible(target.shape[1], self.mask_ratio)
    keep = masking.keep_indices(visible, num_keep)

    encoded = module.encoder(images, keep=keep, deterministic=False, rngs=rngs)
    prediction = module.decoder(encoded, keep=keep)
    loss = jnp.mean(patch_mse(prediction, target, scored=~visible))
    return loss, {"loss": loss, "feature_std": feature_std(jnp.mean(encoded.tokens, axis=1))}
