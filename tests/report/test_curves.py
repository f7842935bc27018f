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


def test_one_panel_one_idea_training_first(metrics):
  """Top-1 of one protocol; training and test apart; no panel of one dot, and none by the way."""
  rows = [
    {"step": 5, "sop_loss": 1.0},
    {"step": 15, "sop_loss": 1.0},
    *(
      {"step": step, "knn/top1_k200_t0.1": 0.6, "knn/top1_k20_t0.07": 0.5, "collapse/rank_me": 8.0}
      for step in (30, 40)
    ),
    *({"step": step, "held_out/loss": 1.0, "held_out/perplexity": 2.7} for step in (30, 40)),
    *({"step": step, "pairs/recall@1": 0.1, "pairs/recall@5": 0.4} for step in (30, 40)),
    {"step": 40, "probe/top1": 0.9},
  ]
  with metrics.open("a") as file:
    file.write("\n" + "\n".join(map(json.dumps, rows)) + "\n")
  panels = list(_panels(read_metrics(metrics)))
  assert panels[:2] == ["loss", "sop_loss"] and panels[-1] == "grad_norm"
  assert sorted(panels[2:-1]) == [
    "collapse/rank_me",
    "held_out/loss",
    "knn/top1_k20_t0.07",
    "pairs/recall@1",
  ]


def test_picture_is_written(metrics, tmp_path):
  path = tmp_path / "curves.png"
  with metrics.open("a") as file:
    file.write('\n{"step": 40, "knn/top1_k20_t0.07": 0.6}\n')
  curves_png(metrics, path, title="a run", random_init={"knn/top1_k20_t0.07": 0.3})
  assert matplotlib.image.imread(path).shape[1] > 1000


def test_a_file_without_numbers_is_refused(tmp_path):
  (tmp_path / "m").write_text('{"step": 1, "loss": 2.0}\n')
  with pytest.raises(ValueError, match="holds no numbers"):
    curves_png(tmp_path / "m", tmp_path / "a.png")


def test_running_mean_is_shorter_at_the_ends():
  np.testing.assert_allclose(_running_mean(np.array([1.0, 2, 3, 10]), window=3), [1.5, 2, 5, 6.5])
