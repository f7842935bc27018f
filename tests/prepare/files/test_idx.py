"""Files of MNIST's kind: every claim of the header is checked."""

import gzip
import struct

import numpy as np
import pytest

from pretrainjax.errors import UserError
from pretrainjax.prepare.files.idx import read_idx, read_labelled_images


def _idx(array: np.ndarray) -> bytes:
  return (
    bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
  )


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def test_plain_and_gzipped(tmp_path):
  (tmp_path / "a").write_bytes(_idx(IMAGES))
  (tmp_path / "a.gz").write_bytes(gzip.compress(_idx(IMAGES)))
  for name in ("a", "a.gz"):
    np.testing.assert_array_equal(read_idx(tmp_path / name), IMAGES)


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b"", "magic number"),
    (b"\x00\x00\x0d\x03" + b"\0" * 20, "magic number"),
    (_idx(IMAGES)[:9], "inside its header"),
    (_idx(IMAGES)[:-1], "its header says 2x3x4"),
    (_idx(IMAGES) + b"x", "its header says 2x3x4"),
  ],
)
def test_damage_is_named(tmp_path, data, message):
  (tmp_path / "a").write_bytes(data)
  with pytest.raises(UserError, match=message):
    read_idx(tmp_path / "a")


def test_a_cut_gzip_file(tmp_path):
  (tmp_path / "a.gz").write_bytes(gzip.compress(_idx(IMAGES))[:-5])
  with pytest.raises(UserError, match="a.gz"):
    read_idx(tmp_path / "a.gz")


@pytest.mark.parametrize(
  ("labels", "message"), [([0, 1, 2], "expected 2 as in"), ([0, 9], "label 9, expected below 3")]
)
def test_pairs_must_fit(tmp_path, labels, message):
  (tmp_path / "images").write_bytes(_idx(IMAGES))
  (tmp_path / "labels").write_bytes(_idx(np.asarray(labels, np.uint8)))
  with pytest.raises(UserError, match=message):
    read_labelled_images(tmp_path / "images", tmp_path / "labels", num_classes=3)
