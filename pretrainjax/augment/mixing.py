"""Mixing each image, and its label, with another image of the batch.

The partner is another row of the whole batch over all devices, and each row has its own share
(timm's "elem" mode), so that the result is the same on any number of devices.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped, UInt8

from pretrainjax import collectives
from pretrainjax.augment.color import to_unit

Images = UInt8[Array, "B H W C"] | Float[Array, "B H W C"]


def mixup(
  images: Images,
  labels: Float[Array, "B K"],
  *,
  alpha: float,
  key: Key[Array, ""],
) -> tuple[Float[Array, "B H W C"], Float[Array, "B K"]]:
  """Blends each image with a partner.

  Args:
    images: uint8, or float in [0, 1].
    labels: distributions over the classes, "B K", each row with sum 1.
    alpha: each image's share is drawn from Beta(alpha, alpha); above 0.
    key: the step's key for mixing, equal on all devices.

  Returns:
    Images as float32 and labels, both share * own + (1 - share) * partner.

  Reference: mixup, arXiv 1710.09412. Ours draws a share per image, not one per batch.
  """
  partner_key, share_key, _ = jax.random.split(key, 3)
  share = _shares(share_key, len(images), alpha)
  others = to_unit(partners(images, partner_key))  # travel between devices as bytes
  mixed = _blend(to_unit(images), others, share[:, None, None, None])
  return mixed, _blend(labels, partners(labels, partner_key), share[:, None])


def cutmix(
  images: Images,
  labels: Float[Array, "B K"],
  *,
  alpha: float,
  key: Key[Array, ""],
) -> tuple[Float[Array, "B H W C"], Float[Array, "B K"]]:
  """Pastes a rectangle of a partner into each image.

  Args:
    images: uint8, or float in [0, 1].
    labels: distributions over the classes, "B K", each row with sum 1.
    alpha: the kept share of the area is drawn from Beta(alpha, alpha), before the rectangle is
      cut at the border; above 0.
    key: the step's key for mixing, equal on all devices.

  Returns:
    Images as float32, and labels mixed by the share of pixels that each image really has.

  Reference: CutMix, arXiv 1905.04899. Ours draws a rectangle per image, not one per batch.
  """
  partner_key, share_key, place_key = jax.random.split(key, 3)
  height, width = images.shape[1:3]
  share = _shares(share_key, len(images), alpha)
  keys = collectives.example_keys(place_key, len(images))
  centers = jax.vmap(lambda k: jax.random.uniform(k, (2,)))(keys)
  own = ~_rectangles(share, centers, height, width)  # B H W
  others = to_unit(partners(images, partner_key))
  images = jnp.where(own[..., None], to_unit(images), others)
  area = jnp.mean(own.astype(jnp.float32), axis=(1, 2))
  return images, _blend(labels, partners(labels, partner_key), area[:, None])


def mixup_or_cutmix(
  images: Images,
  labels: Float[Array, "B K"],
  *,
  mixup_alpha: float,
  cutmix_alpha: float,
  key: Key[Array, ""],
) -> tuple[Float[Array, "B H W C"], Float[Array, "B K"]]:
  """Applies to each image the one whose alpha is above 0; with both, either at even odds.

  Args:
    images: uint8, or float in [0, 1].
    labels: distributions over the classes, "B K", each row with sum 1.
    mixup_alpha: the concentration of `mixup`; 0 switches it off.
    cutmix_alpha: the concentration of `cutmix`; 0 switches it off.
    key: the step's key for mixing, equal on all devices.
  """
  if mixup_alpha == 0 and cutmix_alpha == 0:
    return to_unit(images), labels
  if cutmix_alpha == 0:
    return mixup(images, labels, alpha=mixup_alpha, key=key)
  if mixup_alpha == 0:
    return cutmix(images, labels, alpha=cutmix_alpha, key=key)
  choice_key, key = jax.random.split(key)
  keys = collectives.example_keys(choice_key, len(images))
  use_mixup = jax.vmap(jax.random.bernoulli)(keys)
  # The same key gives both the same partners.
  blended = mixup(images, labels, alpha=mixup_alpha, key=key)
  pasted = cutmix(images, labels, alpha=cutmix_alpha, key=key)
  return (
    jnp.where(use_mixup[:, None, None, None], blended[0], pasted[0]),
    jnp.where(use_mixup[:, None], blended[1], pasted[1]),
  )


def partners(x: Shaped[Array, "B ..."], key: Key[Array, ""]) -> Shaped[Array, "B ..."]:
  """Another row of the whole batch for each row: the batch shifted by a random number of rows.

  Args:
    x: this device's rows; equal keys give equal shifts, for images and labels alike.
    key: equal on all devices.
  """
  everyone = collectives.gather(x)
  total = len(everyone)
  shift = jax.random.randint(key, (), min(1, total - 1), max(total, 1))
  rows = collectives.row_offset(len(x)) + jnp.arange(len(x))
  return everyone[(rows + shift) % total]


def _shares(key, batch_size: int, alpha: float):
  keys = collectives.example_keys(key, batch_size)
  return jax.vmap(lambda k: jax.random.beta(k, alpha, alpha, dtype=jnp.float32))(keys)


def _rectangles(share, centers, height: int, width: int):
  """True inside rectangles of area (1 - share) around `centers`, cut at the border; "B H W"."""
  side = jnp.sqrt(1 - share)

  def inside(size: int, center):
    position = jnp.arange(float(size)) + 0.5
    low = jnp.round((center - side / 2) * size)
    high = jnp.round((center + side / 2) * size)
    return (position[None] > low[:, None]) & (position[None] < high[:, None])  # B size

  rows, columns = inside(height, centers[:, 0]), inside(width, centers[:, 1])
  return rows[:, :, None] & columns[:, None, :]


def _blend(own, other, share):
  return own * share + other * (1 - share)
