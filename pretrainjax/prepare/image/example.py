"""An image on its way from a source to a dataset, and sources that have theirs in memory."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from pretrainjax.prepare.contract import Corpus, Part, Remark

_AT_ONCE = 1000


class Image(NamedTuple):
  """One image, as its source has it.

  Attributes:
    key: unique in the dataset; for files the path relative to the root.
    data: the data of the image's file.
    label: the name of its class; None for a dataset without labels.
    split: the name of its split, "train" or another.
    shape: height, width (None where the source's vary) and channels.
    digest: the digest of the decoded pixels, see `pixel_digest`; None compares with no other image.
    remarks: what a person is told of it.
    size_before: number of bytes of a file that was shrunk; None for one that is as it was.
  """

  key: str
  data: bytes
  label: str | None
  split: str
  shape: tuple[int | None, int | None, int]
  digest: bytes | None
  remarks: tuple[Remark, ...] = ()
  size_before: int | None = None


def pixel_digest(image: UInt8[np.ndarray, "H W C"]) -> bytes:
  """128 bits of BLAKE2 over shape and pixels: equal images have equal digests, however encoded."""
  digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
  digest.update(np.ascontiguousarray(image))
  return digest.digest()


def png(image: UInt8[np.ndarray, "H W C"]) -> bytes:
  """Encodes pixels as a PNG file, without loss."""
  pixels = image if image.shape[2] == 1 else image[:, :, ::-1]  # OpenCV is BGR
  _, data = cv2.imencode(".png", pixels)
  return data.tobytes()


def array_corpus(
  splits: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
  *,
  class_names: tuple[str, ...],
  origin: str,
  info: Mapping[str, Any] | None = None,
) -> Corpus:
  """A corpus of images in memory, with keys "SPLIT/00042".

  Args:
    splits: the images "N H W C" uint8 of each split, and its labels "N" or None.
    class_names: the name of each class; () without labels.
    origin: the path or address that they came from, for the report.
    info: facts for tfds's metadata: description, homepage, license.
  """
  digest = hashlib.sha256()
  for split, (images, labels) in splits.items():
    digest.update(repr((split, images.shape, class_names)).encode())
    digest.update(np.ascontiguousarray(images))
    if labels is not None:
      digest.update(np.ascontiguousarray(labels.astype(np.int64)))

  def parts() -> Iterator[Part]:
    for split, (images, labels) in splits.items():
      for start in range(0, len(images), _AT_ONCE):
        rows = range(start, min(start + _AT_ONCE, len(images)))
        names = None if labels is None else [class_names[labels[row]] for row in rows]
        yield Part(
          split,
          len(rows),
          lambda images=images[start : rows.stop], names=names, split=split, start=start: _records(
            images, names, split, start
          ),
        )

  return Corpus(
    origin=origin,
    identity=digest.hexdigest(),
    size=sum(len(images) for images, _ in splits.values()),
    parts=parts,
    class_names=class_names,
    unit=" images",
    info=info or {},
  )


def _records(
  images: UInt8[np.ndarray, "N H W C"], names: list[str] | None, split: str, start: int
) -> Iterator[Image]:
  for row, image in enumerate(images):
    label = None if names is None else names[row]
    height, width, channels = image.shape
    shape = (height, width, channels)
    yield Image(f"{split}/{start + row:05d}", png(image), label, split, shape, pixel_digest(image))
