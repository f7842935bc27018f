"""Decoding agrees with Pillow, and refuses what is broken or claims too much."""

import io
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageOps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import by_pillow, encoded, smooth

from pretrainjax.data import decode as decoding
from pretrainjax.data.decode import decode
from pretrainjax.data.memory_budget import MemoryBudget
from pretrainjax.data.pixels import UNNOTED, Pixels

LOSSLESS_WEBP = {"lossless": True, "exact": True}
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


def with_alpha(value: int = 77) -> np.ndarray:
  return np.concatenate([smooth(), np.full((40, 56, 1), value, np.uint8)], axis=-1)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_alpha_is_dropped_on_demand(form):
  np.testing.assert_array_equal(decode(encoded(with_alpha(), form), pixels=UNNOTED), smooth())


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", LOSSLESS_WEBP)])
def test_transparent_pictures_lie_on_white_unless_told(form, options):
  data = encoded(with_alpha(), form, **options)
  on_white = PIL.Image.new("RGBA", (56, 40), "white")
  on_white.alpha_composite(PIL.Image.fromarray(with_alpha()))
  wanted = np.asarray(on_white.convert("RGB")).astype(int)
  assert np.abs(decode(data) - wanted).max() <= 1
  on_red = decode(data, pixels=Pixels(background=(255, 0, 0)))
  assert np.abs(on_red - wanted)[:, :, 0].max() <= 1
  np.testing.assert_allclose(wanted[:, :, 1:] - on_red[:, :, 1:], 178, atol=1)  # 255 - 77
  opaque = decode(encoded(with_alpha(255), form, **options))
  np.testing.assert_array_equal(opaque, smooth())


def test_one_colour_that_is_transparent_is_background():
  """Palettes, grey and RGB name one in a PNG (tRNS), and a palette does in a GIF."""
  for mode, clear in (("L", 10), ("RGB", (10, 10, 10)), ("P", 0)):
    picture = PIL.Image.new(mode, (6, 4), clear)
    if mode == "P":
      picture.putpalette([10] * 3 + [40] * 3)
    picture.putpixel((1, 1), {"L": 40, "RGB": (40, 40, 40), "P": 1}[mode])
    for form in ("PNG", "GIF") if mode == "P" else ("PNG",):
      file = io.BytesIO()
      picture.save(file, form, transparency=clear)
      found = decode(file.getvalue(), channels=3)
      assert (found[1, 1] == 40).all() and (found[0] == 255).all(), (mode, form)
      assert (decode(file.getvalue(), channels=3, pixels=UNNOTED)[0] == 10).all()


def test_grey_with_alpha_is_grey():
  data = encoded(smooth(channels=1), "PNG", mode="LA")
  for pixels in (None, UNNOTED):
    np.testing.assert_array_equal(decode(data, pixels=pixels), smooth(channels=1))
  half = np.stack([smooth(channels=1)[:, :, 0], np.full((40, 56), 128, np.uint8)], -1)
  file = io.BytesIO()
  PIL.Image.fromarray(half).save(file, "PNG")
  wanted = smooth(channels=1) * (128 / 255) + 127
  assert np.abs(decode(file.getvalue()) - wanted).max() <= 1
  red = decode(file.getvalue(), pixels=Pixels(background=(255, 0, 0)))
  assert np.abs(red[:, :, :1] - wanted).max() <= 1 and (red[:, :, 1] < red[:, :, 0]).all()


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


ROTATED = [("JPEG", {"quality": 100}), ("PNG", {}), ("WEBP", LOSSLESS_WEBP), ("TIFF", {})]


@pytest.mark.parametrize(("form", "options"), [*ROTATED, ("AVIF", {"quality": 100})])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_cameras_rotation_is_applied_alike_or_ignored_alike(form, options, orientation):
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  if form == "AVIF" and not PIL.features.check("avif"):
    pytest.skip("this Pillow reads no AVIF")
  data = encoded(smooth(), form, exif=exif, **options)
  picture = PIL.Image.fromarray(smooth())
  picture.getexif()[0x0112] = orientation
  wanted = np.asarray(PIL.ImageOps.exif_transpose(picture)).astype(int)
  found = decode(data)
  assert found.shape == wanted.shape
  assert np.abs(found - wanted).mean() < 2  # JPEG and AVIF are not exact
  ignored = decode(data, pixels=UNNOTED)
  assert ignored.shape == (40, 56, 3) and np.abs(ignored.astype(int) - smooth()).mean() < 2


def test_a_rotation_without_sense_is_none():
  exif = PIL.Image.Exif()
  exif[0x0112] = 77
  for form in ("JPEG", "PNG", "TIFF"):
    assert decode(encoded(smooth(), form, exif=exif)).shape == (40, 56, 3)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_a_range_says_what_becomes_black_and_white(form):
  wide = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 2  # 12 bits in 16
  file = io.BytesIO()
  PIL.Image.fromarray(wide).save(file, form)
  found = decode(file.getvalue(), pixels=Pixels(value_range=(1000, 3000)))[:, :, 0]
  wanted = np.rint(np.clip((wide.astype(float) - 1000) / 2000, 0, 1) * 255)
  np.testing.assert_array_equal(found, wanted)


def test_a_range_of_colours_of_sixteen_bits():
  wide = np.arange(40 * 50 * 3, dtype=np.uint16).reshape(40, 50, 3) % 4096
  data = cv2.imencode(".png", wide[:, :, ::-1])[1].tobytes()
  found = decode(data, pixels=Pixels(value_range=(0, 4095)))
  np.testing.assert_array_equal(found, np.rint(wide / 4095 * 255))
  np.testing.assert_array_equal(decode(data), wide >> 8)


def test_whole_and_floating_point_numbers_of_any_size_have_a_range():
  values = np.linspace(-1000, 90_000, 64).reshape(8, 8)
  for dtype in (np.int32, np.float32):
    file = io.BytesIO()
    PIL.Image.fromarray(values.astype(dtype)).save(file, "TIFF")
    found = decode(file.getvalue(), pixels=Pixels(value_range=(-1000.0, 90_000)))[:, :, 0]
    np.testing.assert_allclose(found, np.linspace(0, 255, 64).reshape(8, 8), atol=0.51)


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


def blank(form: str, side: int, **options) -> bytes:
  """A picture of one colour, which some formats say in a few bytes."""
  file = io.BytesIO()
  PIL.Image.new("1" if form == "TIFF" else "L", (side, side - 10)).save(file, form, **options)
  return file.getvalue()


@pytest.mark.parametrize(
  ("form", "options"),
  [
    ("WEBP", {"lossless": True, "method": 0, "quality": 0}),
    ("GIF", {}),
    ("TIFF", {"compression": "group4"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
  ],
)
def test_a_few_bytes_of_blank_pixels_are_no_large_picture(form, options, monkeypatch):
  monkeypatch.setattr(decoding, "_FREE_PIXELS", 1 << 16)
  monkeypatch.setattr(decoding, "_PIXELS_A_BYTE", 16)
  with pytest.raises(ValueError, match="cannot hold 1500 x 1490 pixels"):
    decode(blank(form, 1500, **options))
  assert decode(blank(form, 200, **options)).shape[:2] == (190, 200)


def test_four_kilobytes_of_webp_are_refused_before_anything_is_unpacked(monkeypatch):
  """Two gigabytes a thread, where nobody looks."""
  monkeypatch.setattr(PIL.Image, "open", lambda *_, **__: pytest.fail("it was opened"))
  canvas = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4
  canvas += (9_999).to_bytes(3, "little") + (9_989).to_bytes(3, "little")
  data = b"RIFF" + struct.pack("<I", 4000) + b"WEBP" + canvas + b"\0" * 3970
  with pytest.raises(ValueError, match="cannot hold 10000 x 9990 pixels"):
    decode(data)


def test_threads_wait_for_one_another_rather_than_fill_the_memory(monkeypatch):
  budget, most = MemoryBudget(40 * 56 * 24 + 1), 0
  monkeypatch.setattr(decoding, "_MEMORY", budget)
  data, values = encoded(smooth(), "BMP"), decoding._values

  def slow(*arguments, **options):
    nonlocal most
    most = max(most, budget._held)
    time.sleep(0.01)
    return values(*arguments, **options)

  monkeypatch.setattr(decoding, "_values", slow)
  with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(decode, [data] * 8))
  assert len(found) == 8 and most == 40 * 56 * 24 and budget._held == 0


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


def test_headers_that_promise_more_than_the_bytes_can_hold():
  """They cost no memory, though each is below the limit of pixels."""
  for bomb in (bomb_png, bomb_jpeg):
    with pytest.raises(ValueError, match="cannot hold 9000 x 9000 pixels"):
      decode(bomb(9_000))


def test_a_chunk_that_claims_two_gigabytes_never_comes_to_opencv(monkeypatch):
  """It would make room for it."""
  whole = encoded(smooth(), "PNG")
  monkeypatch.setattr(decoding.cv2, "imdecode", lambda *_: pytest.fail("OpenCV was called"))
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
  monkeypatch.setattr(decoding, "MAX_BYTES", 100)
  with pytest.raises(ValueError, match="more than 100"):
    decode(encoded(smooth(), "PNG"))
