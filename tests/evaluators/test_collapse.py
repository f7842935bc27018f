import logging

import numpy as np
import pytest
from fake_encoders import ArrayData, TinyEncoder, blobs, identity, pixels
from flax import nnx

from pretrainjax.evaluators.collapse import Collapse


def test_numbers_equal_numpy_on_the_same_sample():
  data = blobs(300)
  metrics = Collapse(data=data, num_examples=100, seed=5).run(identity())
  rows = np.sort(np.random.default_rng(5).choice(300, 100, replace=False))
  x = pixels(data)[rows]
  singular = np.linalg.svd(x, compute_uv=False)
  share = singular / singular.sum() + 1e-7
  rank = np.exp(-(share * np.log(share)).sum())
  directions = x / np.linalg.norm(x, axis=1, keepdims=True)
  assert metrics["rank_me"] == pytest.approx(rank, rel=1e-3)
  assert metrics["rank_me_share"] == pytest.approx(rank / 12, rel=1e-3)
  assert metrics["feature_std"] == pytest.approx(directions.std(0).mean() * 12**0.5, rel=1e-3)


def test_healthy_features_give_no_warning(caplog):
  with caplog.at_level(logging.WARNING):
    Collapse(data=blobs(100)).run(identity())
  assert not caplog.records


def test_one_point_is_called_complete_collapse(caplog):
  encoder = identity()
  encoder.linear.kernel.set_value(1e-4 * encoder.linear.kernel[...])
  encoder.linear.bias.set_value(encoder.linear.bias[...] + 1.0)
  with caplog.at_level(logging.WARNING):
    metrics = Collapse(data=blobs(100)).run(encoder)
  assert metrics["feature_std"] < 0.01
  assert "complete collapse" in caplog.text and "learning rate" in caplog.text


def test_one_direction_is_called_dimensional_collapse(caplog):
  encoder = TinyEncoder(12, embed_dim=128, rngs=nnx.Rngs(0))
  sign = np.where(np.arange(128) % 2, 1.0, -1.0)
  kernel = np.outer(np.where(np.arange(12) % 2, 1.0, -1.0), sign)
  encoder.linear.kernel.set_value(kernel.astype(np.float32))
  with caplog.at_level(logging.WARNING):
    metrics = Collapse(data=blobs(200)).run(encoder)
  assert metrics["rank_me"] < 1.1 and metrics["feature_std"] > 0.3
  assert "dimensional collapse" in caplog.text


def test_labels_are_not_needed():
  unlabelled = ArrayData(blobs(40).images, None, 7)
  assert Collapse(data=unlabelled).run(identity()) == Collapse(data=blobs(40)).run(identity())
  assert Collapse(data=unlabelled).protocol()["num_examples"] == 1024
