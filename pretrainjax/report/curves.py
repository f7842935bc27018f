"""The numbers of a run over its steps, as one picture."""

import json
import math
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
# Drawn last, and not at all: those say how something was measured, or count what went wrong.
_LAST = ("grad_norm", "learning_rate")
_SKIPPED = ("l2", "train_iterations", "rank_me_share", "bad_steps", "bad_in_row")
Series = dict[str, tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]]


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
  """Draws a run: its loss, each evaluator's numbers, gradient norm and learning rate.

  Args:
    metrics: the run's metrics.jsonl.
    path: the PNG to write.
    title: above all panels, such as the name of the run.
    random_init: values by name ("knn/top1_k20_t0.07") of a random encoder, drawn as dashed lines.

  Raises:
    ValueError: for a file that holds no numbers.
  """
  panels = _panels(read_metrics(metrics))
  if not panels:
    raise ValueError(f"{metrics}: holds no numbers to draw")
  columns = min(len(panels), 3 if len(panels) not in (2, 4) else 2)
  rows = math.ceil(len(panels) / columns)
  figure = new_figure(4.6 * columns + 0.4, 3.1 * rows + (0.4 if title else 0.1))
  for i, (name, series) in enumerate(panels.items()):
    axes = figure.add_subplot(rows, columns, i + 1)
    _draw(axes, name, series, random_init or {})
  if title:
    headline(figure, title)
  save(figure, path)


def _panels(series: Series) -> dict[str, Series]:
  """Series by panel: what shares a scale is drawn together, losses come first."""
  panels: dict[str, Series] = {}
  for name, points in series.items():
    group, _, metric = name.partition("/")
    if group == "perf" or (metric or name) in _SKIPPED or not np.isfinite(points[1]).any():
      continue
    if not metric:
      panel = "loss" if "loss" in name else name
    else:
      panel = group if is_share(metric) else f"{group}: {metric}"
    panels.setdefault(panel, {})[name] = points
  order = {"loss": -1} | {name: 1 for name in _LAST}
  return {name: panels[name] for name in sorted(panels, key=lambda name: order.get(name, 0))}


def _draw(axes: Axes, panel: str, series: Series, random_init: Mapping[str, float]) -> None:
  only = next(iter(series)) if len(series) == 1 else panel  # one line has no legend to name it
  tidy(axes, title=only.replace("/", ": ").replace("_", " "))
  axes.grid(axis="y", color=GRID, linewidth=0.8)
  axes.set_axisbelow(True)
  for i, (name, (steps, values)) in enumerate(series.items()):
    color = LINES[i % len(LINES)]
    label = name.partition("/")[2] or name
    _line(axes, steps, values, color=color, label=label, smooth=name != "learning_rate")
    if name in random_init:
      axes.axhline(random_init[name], color=color, linewidth=1, linestyle=(0, (4, 3)), alpha=0.8)
  if any(name in random_init for name in series):
    axes.plot([], [], color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label="random init")
  if len(axes.get_legend_handles_labels()[0]) > 1:
    axes.legend(
      fontsize=7.5,
      frameon=True,
      edgecolor="none",
      framealpha=0.85,
      labelcolor=INK,
      handlelength=1.4,
      ncols=2,
      columnspacing=1.2,
    )
  axes.set_xlabel("step")
  axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
  axes.xaxis.set_major_formatter(EngFormatter(sep=""))
  if all(is_share(name.partition("/")[2]) for name in series):
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
  axes.margins(x=0.02, y=0.12 if len(series) == 1 else 0.25)


def _line(
  axes: Axes,
  steps: Float[np.ndarray, " S"],
  values: Float[np.ndarray, " S"],
  *,
  color: str,
  label: str,
  smooth: bool,
) -> None:
  known = np.isfinite(values)
  steps, values = steps[known], values[known]
  if smooth and len(values) > _MAX_RAW:
    axes.plot(steps, values, color=color, linewidth=0.8, alpha=0.25)
    values = _running_mean(values, window=max(5, len(values) // 50))
  marker = "o" if len(values) <= 12 else ""
  axes.plot(steps, values, marker=marker, markersize=3.5, color=color, linewidth=1.7, label=label)


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
