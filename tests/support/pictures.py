"""Pictures that are made, and files of them."""

import io

import numpy as np
import PIL.Image


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
