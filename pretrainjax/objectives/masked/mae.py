"""Masked autoencoding: encode a few of the patches, reconstruct the rest of them."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax import masking
from pretrainjax.config.follow import Follows, equals
from pretrainjax.losses.reconstruction import normalize_patches, patch_mse
from pretrainjax.losses.tokens import token_mean
from pretrainjax.models.layers.patch import Patches
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.objectives.base import Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.ranges import OpenFraction, check_ranges
from pretrainjax.types import Batch, Metrics


@dataclasses.dataclass(frozen=True)
class MAE(Objective):
  """Masked autoencoding of images "B H W C", or of the spectrograms of sounds.

      loss = mean over hidden patches of |decoder(encoder(visible)) - patch|^2 / P

  What is padding of a sound is neither seen nor a target; of a patch that the sound ends in, the
  frames up to the end are. The encoder says what its patches are.

  Args:
    backbone: makes the encoder, a `ViT` or a `SpectrogramViT`.
    decoder: makes the network from visible tokens to values of all patches.
    mask_ratio: share of hidden patches, in (0, 1).
    norm_pix_loss: reconstruct each patch normalised by its own mean and variance.

  Reference: arXiv 2111.06377; AudioMAE, 2207.06405 (mask_ratio 0.8). The class token goes through
  the decoder as in the paper's code. Ours differs from AudioMAE in that it pads sounds with zeros
  to ten seconds, and takes them for sound.

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
    padded = getattr(encoder, "padded", False)
    expect("objective.backbone.padded", padded, False)  # padding would be seen
    expect("objective.decoder.grid", decoder.grid, encoder.grid)
    expect("objective.decoder.num_prefix", decoder.num_prefix, encoder.num_prefix)
    expect("objective.decoder.encoder_dim", decoder.embed.in_features, encoder.embed_dim)
    expect("objective.decoder.patch_dim", decoder.predict.out_features, encoder.patch_dim)
    return Towers(encoder=encoder, decoder=decoder)

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    encoder, inputs = module.encoder, module.encoder.inputs(batch)
    shape, valid = encoder.mask_shape(inputs), encoder.valid(inputs)
    visible = masking.random_mask(rngs.mask(), shape, mask_ratio=self.mask_ratio, valid=valid)
    num_keep = masking.num_visible(shape[1], self.mask_ratio)
    keep, hidden = masking.split_places(visible, num_keep, valid=valid)

    sequence = encoder.sequence(inputs, keep=keep, deterministic=False, rngs=rngs)
    prediction = module.decoder(sequence, keep=keep, hidden=hidden, valid=valid)
    patches = encoder.patches_at(inputs, hidden)
    target = patches.values
    if self.norm_pix_loss:
      target = normalize_patches(target, real=patches.real)
    losses = patch_mse(prediction, target, scored=patches.real)
    loss = token_mean(losses, _counts(patches))
    seen = None if valid is None else jnp.take_along_axis(valid, keep, axis=1)
    features = mean_pool(sequence[:, encoder.num_prefix :].astype(jnp.float32), seen)
    return loss, {"loss": loss, "feature_std": feature_std(features)}


def _counts(patches: Patches) -> Float[Array, " B"]:
  """What each row weighs: the values of it that are targets."""
  if patches.real is None:
    return jnp.ones(len(patches.values))
  return jnp.sum(patches.real, axis=(1, 2)).astype(jnp.float32)
