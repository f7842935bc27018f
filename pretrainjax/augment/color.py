"""Colour augmentations that run on the device, inside the jitted step.

Cropping and flipping belong to the host (`pretrainjax.data.image`); these here cost a host more
than a device. Each works on one float32 image "H W C" in [0, 1]; `ColorAugment` draws the numbers
and maps them over the batch.
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from pretrainjax import collectives
from pretrainjax.ranges import Fraction, NonNegativeFloat, Range, check_ranges

# ITU-R 601-2, as PIL's and torchvision's conversion to grayscale.
_LUMA = (0.299, 0.587, 0.114)
_SIGMAS = (0.1, 2.0)

Scalar = Float[Array, ""] | float


@dataclasses.dataclass(frozen=True)
class ColorAugment:
  """SimCLR's colour augmentations, drawn anew for every image.

  The order is fixed: brightness, contrast, saturation, hue, gray, blur, solarize. Papers draw
  the order of the first four; on a batch of images of different orders each place in the row
  computes all four operations, which is four times the work for a small effect. What has
  probability or strength 0 is not computed at all, nor is colour on images of one channel.

  Args:
    brightness: factor drawn from [max(0, 1 - brightness), 1 + brightness].
    contrast: factor drawn from [max(0, 1 - contrast), 1 + contrast], about the image's mean luma.
    saturation: factor drawn from [max(0, 1 - saturation), 1 + saturation], about each pixel's luma.
    hue: shift drawn from [-hue, hue], in turns of the colour circle; at most 0.5.
    jitter_probability: share of images that get the four above.
    gray_probability: share of images made gray.
    blur_probability: share of images blurred, Gaussian of sigma 0.1 to 2 pixels in a window of
      a tenth of the height.
    solarize_probability: share of images whose values of 0.5 and above are inverted.

  Reference: SimCLR, arXiv 2002.05709, appendix A; solarize from BYOL, arXiv 2006.07733.
  """

  brightness: NonNegativeFloat = 0.0
  contrast: NonNegativeFloat = 0.0
  saturation: NonNegativeFloat = 0.0
  hue: Annotated[float, Range(0, 0.5)] = 0.0
  jitter_probability: Fraction = 0.8
  gray_probability: Fraction = 0.0
  blur_probability: Fraction = 0.0
  solarize_probability: Fraction = 0.0

  def __post_init__(self):
    check_ranges(self)

  def __call__(
    self, images: UInt8[Array, "B H W C"] | Float[Array, "B H W C"], key: Key[Array, ""]
  ) -> Float[Array, "B H W C"]:
    """Augments each image by its own draw.

    Args:
      images: uint8, or float in [0, 1]; C is 1 or 3.
      key: the step's key for augmentation, equal on all devices.

    Returns:
      float32 in [0, 1], not normalised: that is the encoder's to do.
    """
    keys = collectives.example_keys(key, len(images))
    draws = jax.vmap(lambda k: jax.random.uniform(k, (9,)))(keys)
    return jax.vmap(self._one)(to_unit(images), draws)

  def _one(self, image: Float[Array, "H W C"], draws: Float[Array, "9"]) -> Float[Array, "H W C"]:
    """Each number in [0, 1) decides one thing, whatever else is switched off."""
    jitter, bright, contrast, saturation, hue, gray, blur, sigma, solar = draws
    has_color = image.shape[-1] == 3
    if self.jitter_probability > 0:
      jittered = image
      if self.brightness > 0:
        jittered = adjust_brightness(jittered, _factor(bright, self.brightness))
      if self.contrast > 0:
        jittered = adjust_contrast(jittered, _factor(contrast, self.contrast))
      if self.saturation > 0 and has_color:
        jittered = adjust_saturation(jittered, _factor(saturation, self.saturation))
      if self.hue > 0 and has_color:
        jittered = adjust_hue(jittered, (2 * hue - 1) * self.hue)
      image = jnp.where(jitter < self.jitter_probability, jittered, image)
    if self.gray_probability > 0 and has_color:
      image = jnp.where(gray < self.gray_probability, to_gray(image), image)
    if self.blur_probability > 0:
      blurred = gaussian_blur(image, _SIGMAS[0] + sigma * (_SIGMAS[1] - _SIGMAS[0]))
      image = jnp.where(blur < self.blur_probability, blurred, image)
    if self.solarize_probability > 0:
      image = jnp.where(solar < self.solarize_probability, solarize(image), image)
    return image


def to_unit(
  images: UInt8[Array, "*batch H W C"] | Float[Array, "*batch H W C"],
) -> Float[Array, "*batch H W C"]:
  """Turns images into float32 in [0, 1]: uint8 is divided by 255, float is taken as it is."""
  images_float = images.astype(jnp.float32)
  return images_float / 255 if images.dtype == jnp.uint8 else images_float


def standardize(
  images: Float[Array, "B H W C"], *, mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "B H W C"]:
  """Standardizes images in [0, 1] as an encoder takes floats: (x - mean) / std.

  Args:
    images: float in [0, 1].
    mean: one value, or one a channel: the encoder's `image_mean`.
    std: the standard deviation of each channel, the encoder's `image_std`.
  """
  mean, std = (jnp.asarray(v, jnp.float32).reshape(1, 1, 1, -1) for v in (mean, std))
  return (images - mean) / std


def adjust_brightness(image: Float[Array, "H W C"], factor: Scalar) -> Float[Array, "H W C"]:
  """Multiplies all values by `factor`; 0 is black."""
  return jnp.clip(image * factor, 0, 1)


def adjust_contrast(image: Float[Array, "H W C"], factor: Scalar) -> Float[Array, "H W C"]:
  """Scales the distance to the image's mean luma by `factor`; 0 is a gray plane."""
  return _blend(image, jnp.mean(_luma(image)), factor)


def adjust_saturation(image: Float[Array, "H W 3"], factor: Scalar) -> Float[Array, "H W 3"]:
  """Scales the distance to each pixel's luma by `factor`; 0 is a gray image."""
  return _blend(image, _luma(image), factor)


def adjust_hue(image: Float[Array, "H W 3"], shift: Scalar) -> Float[Array, "H W 3"]:
  """Turns the hue of each pixel in HSV space.

  Args:
    image: RGB in [0, 1].
    shift: in turns; 1 comes back to the start.
  """
  red, green, blue = image[..., 0], image[..., 1], image[..., 2]
  value = jnp.max(image, axis=-1)
  chroma = value - jnp.min(image, axis=-1)
  safe = jnp.where(chroma > 0, chroma, 1.0)
  # In sixths of a turn, counted from the strongest channel's corner.
  hue = jnp.where(
    value == red,
    (green - blue) / safe,
    jnp.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
  )
  hue = hue + 6 * shift

  def channel(corner: int):
    # Each channel of a pure colour is a trapezoid over the circle, shifted by its corner.
    distance = jnp.mod(corner + hue, 6.0)
    return value - chroma * jnp.clip(jnp.minimum(distance, 4 - distance), 0, 1)

  return jnp.stack([channel(5), channel(3), channel(1)], axis=-1)


def to_gray(image: Float[Array, "H W 3"]) -> Float[Array, "H W 3"]:
  """Makes images gray: each pixel's luma on all three channels."""
  return jnp.broadcast_to(_luma(image), image.shape)


def solarize(image: Float[Array, "H W C"], *, threshold: float = 0.5) -> Float[Array, "H W C"]:
  """Inverts values of `threshold` and above."""
  return jnp.where(image < threshold, image, 1 - image)


def gaussian_blur(image: Float[Array, "H W C"], sigma: Scalar) -> Float[Array, "H W C"]:
  """Blurs with a window of a tenth of the height (at least 3 pixels), mirrored at the border.

  Args:
    image: height and width above the window's radius.
    sigma: standard deviation in pixels, above 0.

  Reference: SimCLR, arXiv 2002.05709, appendix A; its code pads with black, torchvision mirrors.
  """
  radius = max(image.shape[0] // 20, 1)
  weights = jnp.exp(-0.5 * jnp.square(jnp.arange(-radius, radius + 1.0) / sigma))
  weights = weights / jnp.sum(weights)
  return _filter(_filter(image, weights, axis=0), weights, axis=1)


def _filter(image: Float[Array, "H W C"], weights: Float[Array, " taps"], *, axis: int):
  """Filters along one axis. A sum of shifts fuses into one loop; a convolution whose kernel
  differs by image would become a grouped one, which is slow everywhere."""
  radius = len(weights) // 2
  padded = jnp.pad(image, [(radius, radius) if a == axis else (0, 0) for a in range(3)], "reflect")
  size = image.shape[axis]
  shifts = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(len(weights)))
  return sum(weight * shift for weight, shift in zip(weights, shifts, strict=True))


def _luma(image: Float[Array, "H W C"]) -> Float[Array, "H W 1"]:
  if image.shape[-1] == 1:
    return image
  return sum(weight * image[..., i : i + 1] for i, weight in enumerate(_LUMA))


def _blend(image, base, factor: Scalar):
  return jnp.clip(base + (image - base) * factor, 0, 1)


def _factor(draw: Scalar, strength: float):
  low = max(0.0, 1 - strength)
  return low + draw * (1 + strength - low)
