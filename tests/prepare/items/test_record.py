"""Records of interactions come back as they were."""

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2

from pretrainjax.data.interactions import History, history_of
from pretrainjax.prepare.items.record import features, record


def test_a_record_comes_back():
  items, times = np.array([3, 1, 3], np.int32), np.array([-5, 0, 2**40], np.int64)
  for history in (
    History(7, items, times, 2, 2**41, 1),
    History(0, items[:0], times[:0], 2, -1, 0),
    History(2**40, items, times, 0, 0, 3),
  ):
    found = history_of(tf_example_pb2.Example.FromString(record(history)).features.feature)
    for one, other in zip(found, history, strict=True):
      np.testing.assert_array_equal(one, other)


def test_every_feature_is_of_tfds():
  kinds = (tfds.features.Scalar, tfds.features.Tensor)
  assert all(isinstance(feature, kinds) for feature in features().values())
