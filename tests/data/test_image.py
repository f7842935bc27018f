"""Decoding agrees with Pillow and refuses what is broken; crops lie where they may."""

import io
import struct

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrainjax.data import image
from pretrainjax.data.image import PadCrop, RandomResizedCrop, Resize, decode


def smooth(height: int = 40, width: int = 56, channels: int = 3) -> np.ndarray:
  """A gradient with a bright square: no noise, which JPEG would not keep."""
  y, x = np.mgrid[:height, :width]
  planes = [(x * 3) % 256, (y * 4) % 256, ((x + y) * 2) % 200]
  pixels = np.stack(planes[:channels], axis=-1).astype(np.uint8)
  pixels[10:20, 10:20] = 220
  return pixels


def encoded(pixels: np.ndarray, form: str, *, mode: str | None = None, **options) -> bytes:
  """A file's bytes by Pillow; `mode` converts first."""
  picture = PIL.Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels)
  file = io.BytesIO()
  (picture if mode is None else picture.convert(mode)).save(file, form, **options)
  return file.getvalue()


def by_pillow(data: bytes, mode: str) -> np.ndarray:
  """What Pillow makes of a file, "H W C"."""
  pixels = np.asarray(PIL.Image.open(io.BytesIO(data)).convert(mode))
  return pixels if pixels.ndim == 3 else pixels[:, :, None]


LOSSLESS = [("PNG", 3), ("PNG", 1), ("BMP", 3), ("TIFF", 3), ("TIFF", 1)]


@pytest.mark.parametrize(("form", "channels"), LOSSLESS)
def test_lossless_files_come_back_exactly(form, channels):
  pixels = smooth(channels=channels)
  found = decode(encoded(pixels, form))
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, pixels)


def test_lossless_webp_comes_back_exactly():
  np.testing.assert_array_equal(decode(encoded(smooth(), "WEBP", lossless=True)), smooth())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 60}], ids=str)
def test_jpeg_agrees_with_pillow(channels, options):
  data = encoded(smooth(channels=channels), "JPEG", **options)
  found, wanted = decode(data), by_pillow(data, "RGB" if channels == 3 else "L")
  assert found.shape == wanted.shape
  # Decoders may round differently, and no more.
  assert np.abs(found.astype(int) - wanted).max() <= 2


def test_cmyk_jpeg_agrees_with_pillow():
  data = encoded(smooth(), "JPEG", mode="CMYK")
  np.testing.assert_array_equal(decode(data), by_pillow(data, "RGB"))


def test_alpha_is_dropped():
  pixels = np.concatenate([smooth(), np.full((40, 56, 1), 77, np.uint8)], axis=-1)
  np.testing.assert_array_equal(decode(encoded(pixels, "PNG")), smooth())


def test_grey_with_alpha_is_grey():
  data = encoded(smooth(channels=1), "PNG", mode="LA")
  np.testing.assert_array_equal(decode(data), smooth(channels=1))


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_palettes_become_colours(form):
  data = encoded(smooth(), form, mode="P")
  np.testing.assert_array_equal(decode(data), by_pillow(data, "RGB"))


def test_one_bit_pictures_are_grey():
  found = decode(encoded(smooth(channels=1), "PNG", mode="1"))
  assert found.shape == (40, 56, 1) and set(np.unique(found)) <= {0, 255}


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_the_upper_eight(form):
  wide = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 32
  file = io.BytesIO()
  PIL.Image.fromarray(wide).save(file, form)
  found = decode(file.getvalue()).astype(int)[:, :, 0]
  assert np.abs(found - (wide // 256)).max() <= 1


def test_the_cameras_rotation_is_ignored():
  exif = PIL.Image.Exif()
  exif[0x0112] = 6  # to be shown turned by a quarter
  assert decode(encoded(smooth(), "JPEG", exif=exif)).shape == (40, 56, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_truncated_files_are_refused(form, share):
  data = encoded(smooth(), form)
  with pytest.raises(ValueError):
    decode(data[: int(share * len(data))])


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"no picture" * 9])
def test_what_is_no_image_is_refused(data):
  with pytest.raises(ValueError):
    decode(data)


@settings(max_examples=60, deadline=None)
@given(
  position=st.integers(0, 10**6), value=st.integers(0, 255), form=st.sampled_from(["JPEG", "PNG"])
)
def test_damage_is_either_refused_or_gives_an_image(position, value, form):
  data = bytearray(encoded(smooth(12, 12), form))
  data[position % len(data)] = value
  try:
    found = decode(bytes(data))
  except ValueError:
    return
  assert found.dtype == np.uint8 and found.ndim == 3


def bomb_png(side: int) -> bytes:
  """A header that promises a huge picture."""
  header = struct.pack(">II5B", side, side, 8, 2, 0, 0, 0)
  return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + bytes(8)


def bomb_jpeg(side: int) -> bytes:
  """A small JPEG whose header is rewritten to promise a huge picture."""
  data = bytearray(encoded(smooth(), "JPEG"))
  start = data.index(b"\xff\xc0")
  data[start + 5 : start + 9] = struct.pack(">HH", side, side)
  return bytes(data)


def bomb_bmp(side: int) -> bytes:
  """Likewise, for a format that Pillow reads."""
  data = bytearray(encoded(smooth(), "BMP"))
  data[18:26] = struct.pack("<ii", side, side)
  return bytes(data)


@pytest.mark.parametrize("bomb", [bomb_png, bomb_jpeg, bomb_bmp])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_by_their_header(bomb):
  with pytest.raises(ValueError, match="pixels"):
    decode(bomb(11_000))


def test_floating_point_pictures_are_refused():
  """Nobody can say what range they have, and Pillow would cut them off at 255."""
  file = io.BytesIO()
  PIL.Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(file, "TIFF")
  with pytest.raises(ValueError, match="floating-point"):
    decode(file.getvalue())


def test_resize_keeps_the_channel_and_the_mean():
  for channels in (1, 3):
    small = image.resize(smooth(channels=channels), 10, 14)
    assert small.shape == (10, 14, channels) and small.dtype == np.uint8
    assert abs(small.mean() - smooth(channels=channels).mean()) < 2
  same = smooth()
  assert image.resize(same, 40, 56) is same


def test_resize_does_not_alias():
  """A checkerboard much finer than the result is grey, not black and white."""
  board = (np.indices((64, 64)).sum(0)[..., None] % 2 * 255).astype(np.uint8)
  assert np.abs(image.resize(board, 8, 8).astype(int) - 127).max() <= 2


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 40))
def test_every_transform_gives_its_size(height, width, size):
  pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
  for transform in (
    Resize(size),
    Resize(size, short_side=size + 5),
    RandomResizedCrop(size),
    PadCrop(size),
  ):
    found = transform(pixels, np.random.default_rng(1))
    assert found.shape == (size, size, 3) and found.dtype == np.uint8


def test_resize_cuts_the_centre():
  pixels = np.zeros((20, 40, 1), np.uint8)
  pixels[:, 10:30] = 200  # the central square
  np.testing.assert_array_equal(Resize(20)(pixels, np.random.default_rng(0)), 200)
  inner = Resize(16, short_side=20)(smooth(20, 20), np.random.default_rng(0))
  np.testing.assert_array_equal(inner, smooth(20, 20)[2:18, 2:18])


def boxes(crop: RandomResizedCrop, rows: int, columns: int, count: int = 2000) -> np.ndarray:
  """(top, left, height, width) of many draws."""
  rng = np.random.default_rng(0)
  return np.asarray([crop._box(rows, columns, rng) for _ in range(count)])


@pytest.mark.parametrize(("rows", "columns"), [(100, 100), (60, 180), (7, 5), (1, 300), (1, 1)])
def test_boxes_lie_inside(rows, columns):
  top, left, height, width = boxes(RandomResizedCrop(8), rows, columns, 300).T
  assert (height >= 1).all() and (width >= 1).all() and (top >= 0).all() and (left >= 0).all()
  assert (top + height <= rows).all() and (left + width <= columns).all()


def test_areas_and_ratios_are_distributed_as_asked():
  crop = RandomResizedCrop(8, scale=(0.2, 0.6), ratio=(0.5, 2.0))
  top, left, height, width = boxes(crop, 1000, 1000).T
  area, ratio = height * width / 1e6, np.log(width / height)
  assert area.min() >= 0.199 and area.max() <= 0.601
  assert np.abs(ratio).max() <= np.log(2.0) + 0.01
  # Evenly in area, evenly in the logarithm of the ratio, and anywhere that it fits.
  np.testing.assert_allclose(np.quantile(area, [0.25, 0.5, 0.75]), [0.3, 0.4, 0.5], atol=0.02)
  np.testing.assert_allclose(ratio.mean(), 0.0, atol=0.04)
  for start, side in ((top, height), (left, width)):
    room = 1000 - side
    np.testing.assert_allclose(np.mean(start[room > 50] / room[room > 50]), 0.5, atol=0.03)


def test_where_no_box_fits_the_centre_is_taken():
  top, left, height, width = boxes(RandomResizedCrop(8, scale=(1.0, 1.0)), 10, 100, 1)[0]
  assert (height, width) == (10, 13) and (top, left) == (0, 43)


def mirrored(transform, probability_seed: int = 0, count: int = 400) -> float:
  """How often a picture that is dark on the left comes back dark on the right."""
  pixels = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 24, axis=0)
  rng = np.random.default_rng(probability_seed)
  found = [transform(pixels, rng)[12] for _ in range(count)]
  return float(np.mean([row[6, 0] > row[18, 0] for row in found]))


@pytest.mark.parametrize("kind", [RandomResizedCrop, PadCrop])
def test_flips_as_often_as_asked(kind):
  options = {"padding": 0} if kind is PadCrop else {"scale": (0.9, 1.0)}
  assert mirrored(kind(24, flip=0.0, **options)) == 0.0
  assert mirrored(kind(24, flip=1.0, **options)) == 1.0
  assert 0.2 < mirrored(kind(24, flip=0.3, **options)) < 0.4


def test_pad_crop_shifts_by_at_most_the_padding():
  pixels = smooth(32, 32)
  crop, rng, shifts = PadCrop(32, padding=3, flip=0.0), np.random.default_rng(0), set()
  padded = np.pad(pixels, ((3, 3), (3, 3), (0, 0)))
  for _ in range(800):
    found = crop(pixels, rng)
    matches = [
      (top, left)
      for top in range(7)
      for left in range(7)
      if np.array_equal(found, padded[top : top + 32, left : left + 32])
    ]
    assert len(matches) == 1
    shifts |= set(matches)
  assert len(shifts) == 49  # all of them occur
  np.testing.assert_array_equal(PadCrop(32, padding=0, flip=0.0)(pixels, rng), pixels)


@pytest.mark.parametrize("transform", [RandomResizedCrop(16), PadCrop(16)])
def test_the_generator_alone_decides(transform):
  draw = lambda seed: transform(smooth(), np.random.default_rng(seed))
  np.testing.assert_array_equal(draw(3), draw(3))
  assert any(not np.array_equal(draw(3), draw(seed)) for seed in range(4, 8))


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: Resize(0), "size=0: expected at least 1"),
    (lambda: Resize(32, short_side=16), "short_side=16: expected at least size=32"),
    (lambda: RandomResizedCrop(8, scale=(0.5, 0.2)), "scale="),
    (lambda: RandomResizedCrop(8, scale=(0.0, 1.0)), "scale="),
    (lambda: RandomResizedCrop(8, ratio=(-1.0, 1.0)), "ratio="),
    (lambda: RandomResizedCrop(8, flip=1.5), r"flip=1.5: expected in \[0, 1\]"),
    (lambda: PadCrop(8, padding=-1), "padding=-1: expected at least 0"),
  ],
)
def test_bad_arguments_are_named(make, message):
  with pytest.raises(ValueError, match=message):
    make()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_channels_are_as_asked(form, channels):
  for has in (1, 3):
    data = encoded(smooth(channels=has), form, **({"quality": 95} if form == "JPEG" else {}))
    found = decode(data, channels=channels)
    assert found.shape == (40, 56, channels)
    wanted = by_pillow(data, "L" if channels == 1 else "RGB")
    assert np.abs(found.astype(int) - wanted).max() <= 2


def test_stray_bytes_in_a_jpeg_are_forgiven():
  """Some of ImageNet's files have them; simplejpeg refuses what Pillow reads."""
  data = encoded(smooth(), "JPEG", quality=95)
  stray = data[:-2] + b"\0\0\0" + data[-2:]
  found = decode(stray)
  assert np.abs(found.astype(int) - decode(data)).max() <= 2


def test_evaluation_shrinks_by_area():
  """Every other pixel is white: linear at 2/3 would leave stripes, area gives a near grey."""
  stripes = np.zeros((30, 30, 1), np.uint8)
  stripes[:, ::2] = 255
  small = Resize(20)(stripes, np.random.default_rng(0))
  linear = image.resize(stripes, 20, 20)
  assert small.astype(float).std() < linear.astype(float).std()


def test_headers_that_promise_more_than_the_bytes_can_hold():
  """They cost no memory, though each is below the limit of pixels."""
  for bomb in (bomb_png, bomb_jpeg):
    with pytest.raises(ValueError, match="cannot hold 9000 x 9000 pixels"):
      decode(bomb(9_000))


def test_a_chunk_that_claims_two_gigabytes_never_comes_to_opencv(monkeypatch):
  """It would make room for it."""
  whole = encoded(smooth(), "PNG")
  monkeypatch.setattr(image.cv2, "imdecode", lambda *_: pytest.fail("OpenCV was called"))
  with pytest.raises(ValueError, match="readable|known format"):
    decode(whole[:33] + b"\x7f\xff\xff\xffPLTE" + whole[33:])


def test_honest_pictures_that_shrink_well_are_read():
  for kind, options in (("PNG", {"optimize": True}), ("JPEG", {"quality": 1, "progressive": True})):
    file = io.BytesIO()
    PIL.Image.new("RGB", (3000, 2000)).save(file, kind, **options)
    assert decode(file.getvalue()).shape == (2000, 3000, 3)


def test_a_jpeg_that_is_gone_over_again_and_again_is_refused():
  whole = encoded(smooth(), "JPEG", progressive=True)
  last = whole[whole.rindex(b"\xff\xda") : -2]
  assert decode(whole[:-2] + last * 20 + b"\xff\xd9").shape == smooth().shape
  with pytest.raises(ValueError, match="scans: more than 100"):
    decode(whole[:-2] + last * 2000 + b"\xff\xd9")


def test_formats_that_are_programs_are_not_opened():
  with pytest.raises(ValueError, match="no image of a known format"):
    decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")


def test_files_of_all_the_memory_are_refused(monkeypatch):
  monkeypatch.setattr(image, "MAX_BYTES", 100)
  with pytest.raises(ValueError, match="more than 100"):
    decode(encoded(smooth(), "PNG"))
