"""What is kept of a raw dataset, and what stands in it twice."""

import numpy as np

from pretrainjax.prepare.image.collected import (
  Collected,
  Dropped,
  array_entries,
  count_reasons,
  duplicates_between_splits,
  pixel_digest,
  stratified_holdout,
  without_train_duplicates,
)


def _collected() -> Collected:
  images = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2, 1)
  train = array_entries(images[:4], np.arange(4), prefix="train")
  test = array_entries(images[3:], np.arange(2), prefix="test")
  return Collected({"train": train, "test": test}, tuple("abcd"), (2, 2, 1), origin="here")


def test_equal_pixels_in_two_splits_are_found_and_leave_train():
  collected = _collected()
  (twice,) = duplicates_between_splits(collected.splits)
  assert (twice.key, twice.other_key) == ("train/00003", "test/00000")
  cleaned = without_train_duplicates(collected, [twice])
  assert [len(cleaned.splits[s]) for s in ("train", "test")] == [3, 2]
  assert count_reasons(cleaned.dropped) == {"same pixels as an example of another split": 1}
  assert duplicates_between_splits(cleaned.splits) == []


def test_digest_sees_shape_and_pixels():
  image = np.zeros((2, 3, 1), np.uint8)
  assert pixel_digest(image) == pixel_digest(image.copy())
  assert pixel_digest(image) != pixel_digest(image.reshape(3, 2, 1))
  assert pixel_digest(image) != pixel_digest(image + 1)


def test_arrays_are_encoded_without_loss():
  import cv2

  entry = _collected().splits["train"][2]
  decoded = cv2.imdecode(np.frombuffer(entry.encoded(), np.uint8), cv2.IMREAD_GRAYSCALE)
  np.testing.assert_array_equal(decoded[..., None], entry.image)


def test_holdout_takes_the_same_share_of_each_class():
  labels = np.repeat([0, 1, 2], [10, 20, 40])
  held = stratified_holdout(labels, fraction=0.1, seed=0)
  assert np.bincount(labels[held]).tolist() == [1, 2, 4]
  np.testing.assert_array_equal(held, stratified_holdout(labels, fraction=0.1, seed=0))
  assert (held != stratified_holdout(labels, fraction=0.1, seed=1)).any()


def test_reasons_are_counted_most_frequent_first():
  dropped = [Dropped("a", "x"), Dropped("b", "y"), Dropped("c", "y")]
  assert list(count_reasons(dropped).items()) == [("y", 2), ("x", 1)]
