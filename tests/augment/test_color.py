import colorsys
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image, ImageEnhance, ImageOps

from pretrainjax.augment import color as augment
from pretrainjax.augment.color import ColorAugment


@functools.partial(jax.jit, static_argnums=0)
def apply(augmentation, images):
  return augmentation(images, jax.random.key(0))


# PIL works in uint8 and rounds at each stage.
PIL_TOLERANCE = 1.6 / 255


@pytest.fixture
def image():
  return np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


def _unit(image):
  return augment.to_unit(jnp.asarray(image))


def test_to_unit_divides_uint8_only(image):
  np.testing.assert_allclose(_unit(image), image / 255.0, rtol=1e-6)
  np.testing.assert_array_equal(_unit(np.float32(image)), np.float32(image))


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.8])
@pytest.mark.parametrize(
  ("ours", "theirs"),
  [
    (augment.adjust_brightness, ImageEnhance.Brightness),
    (augment.adjust_contrast, ImageEnhance.Contrast),
    (augment.adjust_saturation, ImageEnhance.Color),
  ],
)
def test_adjustments_equal_pil(image, ours, theirs, factor):
  expected = np.asarray(theirs(Image.fromarray(image)).enhance(factor)) / 255.0
  # PIL rounds the mean or the luma to uint8 first, which a factor above 1 magnifies.
  np.testing.assert_allclose(ours(_unit(image), factor), expected, atol=PIL_TOLERANCE)


@pytest.mark.parametrize("shift", [-0.5, -0.13, 0.0, 0.2, 0.5])
def test_hue_equals_colorsys(image, shift):
  image[0, :6] = [[0, 0, 0], [255, 255, 255], [9, 9, 9], [255, 0, 0], [0, 7, 7], [0, 0, 255]]

  def turn(pixel):
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
    return colorsys.hsv_to_rgb((hue + shift) % 1.0, saturation, value)

  expected = np.apply_along_axis(turn, -1, image / 255.0)
  np.testing.assert_allclose(augment.adjust_hue(_unit(image), shift), expected, atol=1e-5)


def test_gray_and_solarize_equal_pil(image):
  gray = np.asarray(ImageOps.grayscale(Image.fromarray(image)))[..., None].repeat(3, -1) / 255.0
  np.testing.assert_allclose(augment.to_gray(_unit(image)), gray, atol=PIL_TOLERANCE)
  solarized = np.asarray(ImageOps.solarize(Image.fromarray(image), threshold=128)) / 255.0
  np.testing.assert_allclose(augment.solarize(_unit(image)), solarized, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0])
@pytest.mark.parametrize(("height", "radius"), [(24, 1), (60, 3)])
def test_blur_equals_scipy(sigma, height, radius):
  image = jnp.asarray(np.random.default_rng(0).random((height, 20, 3), np.float32))
  expected = scipy.ndimage.gaussian_filter(
    image, (sigma, sigma, 0), mode="mirror", radius=(radius, radius, 0)
  )
  np.testing.assert_allclose(augment.gaussian_blur(image, sigma), expected, atol=1e-5)


FULL = ColorAugment(0.8, 0.8, 0.8, 0.2, 1.0, 0.2, 0.5, 0.2)


def test_stays_in_range_and_rows_differ(image):
  images = jnp.stack([jnp.asarray(image)] * 16)
  out = np.asarray(apply(FULL, images))
  assert out.dtype == np.float32 and out.min() >= 0 and out.max() <= 1 + 1e-6
  assert len(np.unique(out.reshape(16, -1), axis=0)) == 16


def test_a_row_does_not_depend_on_the_batch_size(image):
  images = jnp.stack([jnp.asarray(image)] * 6)
  np.testing.assert_allclose(apply(FULL, images)[:2], apply(FULL, images[:2]), atol=1e-6)


def test_nothing_switched_on_changes_nothing(image):
  out = apply(ColorAugment(), jnp.asarray(image)[None])
  np.testing.assert_allclose(out[0], _unit(image), atol=1e-6)


def test_probabilities_are_shares_of_images(image):
  images = jnp.stack([jnp.asarray(image)] * 2000)[:, :4, :4]
  for name, share in [("gray", 0.2), ("blur", 0.5), ("solarize", 0.7)]:
    out = apply(ColorAugment(jitter_probability=0.0, **{f"{name}_probability": share}), images)
    # Some blurs are of so small a sigma that the image does not change.
    changed = (np.abs(np.asarray(out) - augment.to_unit(images)) > 1e-5).any(axis=(1, 2, 3)).mean()
    assert share - 0.1 < changed < share + 0.04, name
  jitter = apply(ColorAugment(brightness=0.4, jitter_probability=0.3), images)
  changed = (np.abs(np.asarray(jitter) - augment.to_unit(images)) > 1e-5).any(axis=(1, 2, 3)).mean()
  assert abs(changed - 0.3) < 0.05


def test_brightness_factors_fill_their_range():
  images = jnp.full((2000, 1, 1, 1), 0.4, jnp.float32)
  out = apply(ColorAugment(brightness=0.5, jitter_probability=1.0), images)
  factors = np.asarray(out).ravel() / 0.4
  assert 0.5 <= factors.min() < 0.52 and 1.48 < factors.max() <= 1.5001
  assert abs(factors.mean() - 1) < 0.03


def test_one_channel_skips_colour_and_keeps_the_rest():
  images = jnp.arange(4 * 28 * 28, dtype=jnp.uint8).reshape(4, 28, 28, 1)
  colour = ColorAugment(saturation=0.8, hue=0.2, jitter_probability=1.0, gray_probability=1.0)
  np.testing.assert_allclose(apply(colour, images), augment.to_unit(images), atol=1e-6)
  assert apply(FULL, images).shape == images.shape


@pytest.mark.parametrize(("name", "value"), [("hue", 0.6), ("brightness", -1.0)])
def test_refuses_what_is_out_of_range(name, value):
  with pytest.raises(ValueError, match=f"{name}={value}: expected"):
    ColorAugment(**{name: value})
  with pytest.raises(ValueError, match=r"blur_probability=1.5: expected in \[0, 1\]"):
    ColorAugment(blur_probability=1.5)
