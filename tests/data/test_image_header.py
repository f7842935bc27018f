"""Formats are told by their first bytes, and sizes of WebP by its header."""

import io

import numpy as np
import PIL.features
import PIL.Image
import pytest
from pictures import encoded, smooth

from pretrainjax.data.image_header import HEAD, format_of, webp_size


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "AVIF"])
def test_formats_are_told_by_their_first_bytes(form):
  if form == "AVIF" and not PIL.features.check("avif"):
    pytest.skip("this Pillow writes no AVIF")
  for channels in (1, 3):
    assert format_of(encoded(smooth(channels=channels), form)[:HEAD]) == form


def test_what_cannot_be_read_is_known_too_and_texts_are_no_images():
  assert format_of(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "HEIC"
  assert format_of(b"\0\0\0\x0cJXL \r\n\x87\n") == "JPEG XL"
  assert format_of(b"\0" * 128 + b"DICM") == "DICOM"
  assert format_of(b"\0\0\0\x0cjP  \r\n\x87\n") == "JPEG 2000"
  texts = ("", "BM of the year, it is", "P5 is a channel", "GIF89 was", "RIFF", "{}", "P1\n")
  assert [format_of(text.encode()) for text in texts] == [None] * len(texts)


@pytest.mark.parametrize(
  "options", [{}, {"lossless": True}, {"exif": b"II*\0\x08\0\0\0\0\0\0\0\0\0"}], ids=str
)
def test_the_size_of_a_webp_is_in_its_header(options):
  file = io.BytesIO()
  PIL.Image.fromarray(np.zeros((41, 300, 3), np.uint8)).save(file, "WEBP", **options)
  assert webp_size(file.getvalue()) == (41, 300)
  with pytest.raises(ValueError, match="no WebP"):
    webp_size(file.getvalue()[:20])
