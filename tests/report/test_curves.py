import json

import matplotlib.image
import numpy as np
import pytest

from pretrainjax.report.curves import _panels, _running_mean, curves_png, read_metrics


@pytest.fixture
def metrics(tmp_path):
  rows = [
    {"step": 10, "loss": 2.0, "grad_norm": 1.0, "bad_steps": 0, "perf/mfu": 0.3},
    {"step": 20, "loss": "nan", "grad_norm": 0.5},
    {"step": 20, "knn/top1_k20_t0.07": 0.5, "knn/top5_k20_t0.07": 0.9, "collapse/rank_me": 9.0},
    {"step": 20, "loss": 1.5},
    {"step": 30, "loss": 1.0, "learning_rate": 1e-3},
  ]
  path = tmp_path / "metrics.jsonl"
  path.write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 40, "lo')
  return path


def test_later_values_count_and_cut_lines_do_not(metrics):
  steps, values = read_metrics(metrics)["loss"]
  np.testing.assert_array_equal(steps, [10, 20, 30])
  np.testing.assert_array_equal(values, [2.0, 1.5, 1.0])


def test_panels_hold_what_shares_a_scale_loss_first(metrics):
  panels = _panels(read_metrics(metrics))
  assert list(panels) == ["loss", "knn", "collapse: rank_me", "grad_norm", "learning_rate"]
  assert list(panels["knn"]) == ["knn/top1_k20_t0.07", "knn/top5_k20_t0.07"]


def test_picture_is_written(metrics, tmp_path):
  path = tmp_path / "curves.png"
  curves_png(metrics, path, title="a run", random_init={"knn/top1_k20_t0.07": 0.3})
  assert matplotlib.image.imread(path).shape[1] > 1000


def test_a_file_without_numbers_is_refused(tmp_path):
  (tmp_path / "m").write_text('{"step": 1}\n')
  with pytest.raises(ValueError, match="holds no numbers"):
    curves_png(tmp_path / "m", tmp_path / "a.png")


def test_running_mean_is_shorter_at_the_ends():
  np.testing.assert_allclose(_running_mean(np.array([1.0, 2, 3, 10]), window=3), [1.5, 2, 5, 6.5])
