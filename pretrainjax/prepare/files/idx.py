"""The idx files of MNIST and its relatives, every claim of their header checked."""

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.untrusted import BadFile, open_file

_UINT8 = 0x08
_MAX_BYTES = 1 << 28


def read_idx(path: Path) -> np.ndarray:
  """Reads one file of unsigned bytes.

  Args:
    path: gzipped (".gz") or plain.

  Returns:
    A uint8 array of the shape that the header claims.

  Raises:
    UserError: for a file that is missing, damaged, longer or shorter than its header says.
  """
  try:
    # A few bytes of gzip can unpack to all of the memory; no set of this kind has a large file.
    with open_file(path) as packed:
      file = gzip.GzipFile(fileobj=packed) if path.suffix == ".gz" else packed
      data = file.read(_MAX_BYTES + 1)
  except BadFile:
    raise
  except (OSError, EOFError, ValueError) as error:
    raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
  except Exception as error:  # zlib.error has no base of its own
    raise UserError(f"{path}: is not a whole gzip file ({error})") from error
  if len(data) > _MAX_BYTES:
    raise UserError(f"{path}: holds more than {_MAX_BYTES >> 20} MiB")
  if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UINT8 or not data[3]:
    raise UserError(f"{path}: starts with {data[:4].hex()}, expected the magic number 000008NN")
  rank = data[3]
  if len(data) < 4 + 4 * rank:
    raise UserError(f"{path}: ends inside its header, after {len(data)} bytes")
  shape = struct.unpack_from(f">{rank}I", data, 4)
  start = 4 + 4 * rank
  if len(data) - start != math.prod(shape):
    raise UserError(
      f"{path}: holds {len(data) - start} values, its header says {'x'.join(map(str, shape))}"
    )
  return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_labelled_images(
  images_path: Path, labels_path: Path, *, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
  """Reads the images and the labels of a dataset from their two files.

  Args:
    images_path: the file of images, of rank 3.
    labels_path: the file of as many labels, of rank 1.
    num_classes: the number of classes; every label is below it.

  Returns:
    Images "B H W 1" and labels "B", both uint8.

  Raises:
    UserError: where the two do not fit together.
  """
  images, labels = read_idx(images_path), read_idx(labels_path)
  if images.ndim != 3:
    raise UserError(f"{images_path}: has {images.ndim} axes, expected 3 (count, height, width)")
  if labels.ndim != 1 or len(labels) != len(images):
    raise UserError(
      f"{labels_path}: holds labels of shape {labels.shape}, expected {len(images)} as in "
      f"{images_path.name}"
    )
  if len(labels) and labels.max() >= num_classes:
    raise UserError(f"{labels_path}: has label {labels.max()}, expected below {num_classes}")
  return images[..., None], labels
