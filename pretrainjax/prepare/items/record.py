"""A record of a prepared set of interactions, as tfds reads it."""

from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from pretrainjax.data.interactions import History


def features() -> dict[str, Any]:
  """The features of all splits; in training "targets" is empty."""

  def many(dtype: type) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=(None,), dtype=dtype, encoding="bytes")

  return {
    "user": tfds.features.Scalar(np.int64),
    "items": many(np.int32),
    "times": many(np.int64),
    "targets": many(np.int32),
    "target_time": tfds.features.Scalar(np.int64),
    "num_train": tfds.features.Scalar(np.int32),
  }


def record(history: History) -> bytes:
  """The record of a history; the inverse of `pretrainjax.data.interactions.history_of`."""
  targets = np.array([history.target] if history.target else [], np.int32)
  arrays = {"items": history.items, "times": history.times, "targets": targets}
  numbers = {
    "user": history.user,
    "target_time": history.target_time,
    "num_train": history.num_train,
  }
  made = {name: _bytes(array.tobytes()) for name, array in arrays.items()}
  made |= {name: _number(value) for name, value in numbers.items()}
  example = tf_example_pb2.Example(features=tf_feature_pb2.Features(feature=made))
  return example.SerializeToString(deterministic=True)


def _bytes(value: bytes) -> tf_feature_pb2.Feature:
  return tf_feature_pb2.Feature(bytes_list=tf_feature_pb2.BytesList(value=[value]))


def _number(value: int) -> tf_feature_pb2.Feature:
  return tf_feature_pb2.Feature(int64_list=tf_feature_pb2.Int64List(value=[value]))
