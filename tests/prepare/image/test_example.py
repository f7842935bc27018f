"""Images in memory as a corpus, without loss."""

import cv2
import numpy as np

from pretrainjax.prepare.image.example import array_corpus, pixel_digest, png


def test_digest_sees_shape_and_pixels():
  image = np.zeros((2, 3, 1), np.uint8)
  assert pixel_digest(image) == pixel_digest(image.copy())
  assert pixel_digest(image) != pixel_digest(image.reshape(3, 2, 1))
  assert pixel_digest(image) != pixel_digest(image + 1)


def test_arrays_are_encoded_without_loss():
  grey = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
  decoded = cv2.imdecode(np.frombuffer(png(grey), np.uint8), cv2.IMREAD_GRAYSCALE)
  np.testing.assert_array_equal(decoded[..., None], grey)
  colours = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
  decoded = cv2.imdecode(np.frombuffer(png(colours), np.uint8), cv2.IMREAD_COLOR_RGB)
  np.testing.assert_array_equal(decoded, colours)


def test_a_corpus_of_arrays():
  images = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2, 1)
  splits = {"train": (images[:3], np.array([1, 0, 1])), "test": (images[3:], None)}
  corpus = array_corpus(splits, class_names=("a", "b"), origin="here")
  found = [record for part in corpus.parts() for record in part.records()]
  assert [i.key for i in found] == [
    "train/00000",
    "train/00001",
    "train/00002",
    "test/00000",
    "test/00001",
  ]
  assert [i.label for i in found] == ["b", "a", "b", None, None]
  assert corpus.size == 5 and {i.shape for i in found} == {(2, 2, 1)}
  other = splits | {"test": (images[3:] + 1, None)}
  assert array_corpus(other, class_names=("a", "b"), origin="here").identity != corpus.identity
