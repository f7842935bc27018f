"""The numbers of a run over its steps, as one picture."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from pretrainjax.evaluators.results import is_share
from pretrainjax.report.figure import FAINT, GRID, INK, LINES, headline, new_figure, save, tidy
from pretrainjax.untrusted import read_lines

# Beyond so many points a line is drawn faintly with its running mean over it.
_MAX_RAW = 120
# Drawn last, and not at all: those say how something was measured, count what went wrong, or say
# again what another number says.
_LAST = ("grad_norm", "learning_rate")
_SKIPPED = (
  "l2",
  "train_iterations",
  "of_absent_classes",
  "rank_me_share",
  "bad_steps",
  "bad_in_row",
  "top5",
  "mean_per_class",
  "macro_f1",
  "mcc",
  "calibration_error",
  "perplexity",
  "bits_per_byte",
  "pearson",
  "mrr",
)
_SKIPPED_BEGINNINGS = ("unigram_", "ngram_", "reverse_", "class/")
# What follows the name of a number that is measured by several protocols: "top1_k20_t0.07".
_PROTOCOL = re.compile(r"_k\d+_t[^_]+$|@\d+$")
Points = tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]
Series = dict[str, Points]


def read_metrics(path: Path) -> Series:
  """Steps and values by name, from a metrics.jsonl; of a step written twice the later counts.

  Values that are not finite are NaN, a line cut off by a crash is skipped.
  """
  points: dict[str, dict[int, float]] = {}
  for line in read_lines(path):
    try:
      row = json.loads(line)
      step = int(row.pop("step"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
      continue
    for name, value in row.items():
      if isinstance(value, (int, float, str, type(None))):
        points.setdefault(name, {})[step] = _finite(value)
  series = {}
  for name, values in points.items():
    steps = sorted(values)
    series[name] = np.array(steps, float), np.array([values[s] for s in steps], float)
  return series


def curves_png(
  metrics: Path,
  path: Path,
  *,
  title: str = "",
  random_init: Mapping[str, float] | None = None,
) -> None:
  """Draws a run, one number a panel: its loss, what evaluators measured, the learning rate.

  Args:
    metrics: the path of the run's metrics.jsonl.
    path: the PNG to write.
    title: the text above all panels, such as the name of the run.
    random_init: values by name ("knn/top1_k20_t0.07") of a random encoder, drawn as dashed lines.

  Raises:
    ValueError: for a file that holds no number of two steps.
  """
  panels = _panels(read_metrics(metrics))
  if not panels:
    raise ValueError(f"{metrics}: holds no numbers to draw")
  columns = min(len(panels), 3 if len(panels) not in (2, 4) else 2)
  rows = math.ceil(len(panels) / columns)
  figure = new_figure(4.6 * columns + 0.4, 3.1 * rows + (0.4 if title else 0.1))
  for i, (name, points) in enumerate(panels.items()):
    axes = figure.add_subplot(rows, columns, i + 1)
    _draw(axes, name, points, random_init=(random_init or {}).get(name))
  if title:
    headline(figure, title)
  save(figure, path)


def _panels(series: Series) -> Series:
  """What is drawn, each in a panel of its own: losses first, then other numbers of training.

  Of what an evaluator measures by several protocols the first is drawn. A number that was measured
  once only is for the table at the end of a run.
  """
  panels, seen = {}, set()
  for name, points in series.items():
    group, _, metric = name.rpartition("/")
    idea = _PROTOCOL.sub("", metric)
    is_drawn = group != "perf" and idea not in _SKIPPED and (group, idea) not in seen
    if is_drawn and not metric.startswith(_SKIPPED_BEGINNINGS) and _count(points) > 1:
      seen.add((group, idea))
      panels[name] = points
  return {name: panels[name] for name in sorted(panels, key=_place)}


def _count(points: Points) -> int:
  return int(np.isfinite(points[1]).sum())


def _place(name: str) -> int:
  """The place of a panel: training, evaluation, and what steers training."""
  if name in _LAST:
    return 3
  if "/" in name:
    return 2
  return 0 if name == "loss" else 1


def _draw(axes: Axes, name: str, points: Points, *, random_init: float | None) -> None:
  title = name.replace("/", ": ") if "/" in name else f"training: {name}"
  tidy(axes, title=title.replace("_", " "))
  axes.grid(axis="y", color=GRID, linewidth=0.8)
  axes.set_axisbelow(True)
  _line(axes, *points, smooth=name != "learning_rate")
  if random_init is not None:
    dashes = (0, (4, 3))
    axes.axhline(random_init, color=FAINT, linewidth=1, linestyle=dashes, label="random init")
    axes.legend(fontsize=7.5, frameon=False, labelcolor=INK, handlelength=1.8)
  axes.set_xlabel("step")
  axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
  axes.xaxis.set_major_formatter(EngFormatter(sep=""))
  if is_share(name.rpartition("/")[2]) and "/" in name:
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
  axes.margins(x=0.02, y=0.12)


def _line(
  axes: Axes, steps: Float[np.ndarray, " S"], values: Float[np.ndarray, " S"], *, smooth: bool
) -> None:
  known, color = np.isfinite(values), LINES[0]
  steps, values = steps[known], values[known]
  if smooth and len(values) > _MAX_RAW:
    axes.plot(steps, values, color=color, linewidth=0.8, alpha=0.25)
    values = _running_mean(values, window=max(5, len(values) // 50))
  marker = "o" if len(values) <= 12 else ""
  axes.plot(steps, values, marker=marker, markersize=3.5, color=color, linewidth=1.7)


def _running_mean(values: Float[np.ndarray, " S"], *, window: int) -> Float[np.ndarray, " S"]:
  """The mean over `window` values around each; fewer at both ends."""
  sums = np.concatenate([[0.0], np.cumsum(values)])
  index = np.arange(len(values))
  low = np.maximum(index - window // 2, 0)
  high = np.minimum(index + window // 2 + 1, len(values))
  return (sums[high] - sums[low]) / (high - low)


def _finite(value: float | int | str | None) -> float:
  try:
    number = float(value)
  except (TypeError, ValueError):
    return math.nan
  return number if math.isfinite(number) else math.nan
