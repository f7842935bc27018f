"""A confusion matrix as a picture, from two classes to a thousand."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from pretrainjax.report.figure import FAINT, INK, LINES, headline, new_figure, save, tidy

# Up to here each cell has room for its number and each class for its name.
_MAX_WRITTEN = 25
_LISTED = 12
# Cells smaller than a pixel or two cannot be seen.
_MAX_CELLS = 200
_BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#cfe0f1", "#6fa3d4", "#123f78"])


def confusion_png(
  confusion: Int[np.ndarray, "K K"],
  class_names: Sequence[str],
  path: Path,
  *,
  title: str = "Confusion matrix",
) -> None:
  """Draws how the examples of each class were classified, in percent of the class.

  Small matrices have every number written in; large ones have the worst classes and the most
  frequent confusions listed beside.

  Args:
    confusion: counts, true class by row and predicted class by column.
    class_names: one a class, or () for their indices.
    path: the PNG to write.
    title: the text above the picture; accuracy and number of examples follow it.

  Raises:
    ValueError: where names and classes differ in number.
  """
  num_classes = len(confusion)
  names = [str(n) for n in class_names] or [str(i) for i in range(num_classes)]
  if len(names) != num_classes:
    raise ValueError(f"class_names: found {len(names)}, expected {num_classes}")
  total = int(confusion.sum())
  accuracy = np.trace(confusion) / max(total, 1)
  title = f"{title}: {accuracy:.2%} of {total:,} examples right"
  draw = _written if num_classes <= _MAX_WRITTEN else _listed
  save(draw(confusion, names, title), path)


def _shares(confusion: Int[np.ndarray, "K K"]) -> Float[np.ndarray, "K K"]:
  return confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)


def _heat(axes: Axes, shares: Float[np.ndarray, "K K"]) -> AxesImage:
  # The square root keeps confusions of a few percent visible beside a diagonal near 100.
  norm = PowerNorm(0.5, vmin=0, vmax=1)
  num_classes, block = len(shares), math.ceil(len(shares) / _MAX_CELLS)
  cells = _largest(shares, block)
  span = len(cells) * block - 0.5
  image = axes.imshow(
    cells, cmap=_BLUES, norm=norm, interpolation="nearest", extent=(-0.5, span, span, -0.5)
  )
  axes.set(xlim=(-0.5, num_classes - 0.5), ylim=(num_classes - 0.5, -0.5))
  note = "" if block == 1 else f"; a pixel is the largest of {block} x {block} cells"
  axes.set(xlabel=f"predicted class{note}", ylabel="true class")
  return image


def _largest(shares: Float[np.ndarray, "K K"], block: int) -> Float[np.ndarray, "S S"]:
  """The largest value of each block of cells; a mean would wash single confusions out."""
  rest = -len(shares) % block
  padded = np.pad(shares, (0, rest))
  size = len(padded) // block
  return padded.reshape(size, block, size, block).max(axis=(1, 3))


def _written(confusion: Int[np.ndarray, "K K"], names: list[str], title: str) -> Figure:
  num_classes, shares = len(confusion), _shares(confusion)
  side = 2.6 + 0.52 * num_classes
  figure = new_figure(max(side, 5.4), max(side - 0.4, 4.4))
  axes = figure.add_subplot()
  _heat(axes, shares)
  tidy(axes)
  headline(figure, title)
  for (row, column), share in np.ndenumerate(shares):
    if confusion[row, column]:
      axes.text(
        column,
        row,
        _percent(share),
        ha="center",
        va="center",
        fontsize=8.5 if num_classes <= 12 else 6.5,
        color="white" if share > 0.35 else INK,
        fontweight="bold" if row == column else "normal",
      )
  short = [_shorten(name) for name in names]
  counts = confusion.sum(axis=1)
  axes.set_yticks(range(num_classes), [f"{n}  ({c:,})" for n, c in zip(short, counts, strict=True)])
  steep = max(map(len, short)) > 3
  axes.set_xticks(
    range(num_classes),
    short,
    rotation=40 if steep else 0,
    ha="right" if steep else "center",
    rotation_mode="anchor" if steep else "default",
  )
  axes.set_ylabel("true class (examples); cells in % of its row")
  axes.set_xticks(np.arange(num_classes + 1) - 0.5, minor=True)
  axes.set_yticks(np.arange(num_classes + 1) - 0.5, minor=True)
  axes.grid(which="minor", color="white", linewidth=1.2)
  axes.tick_params(which="both", length=0)
  axes.spines[:].set_visible(False)
  return figure


def _listed(confusion: Int[np.ndarray, "K K"], names: list[str], title: str) -> Figure:
  shares, short = _shares(confusion), [_shorten(name, 22) for name in names]
  figure = new_figure(12.6, 6.6)
  grid = figure.add_gridspec(2, 2, width_ratios=(1.75, 1), wspace=0.04, hspace=0.06)
  axes = figure.add_subplot(grid[:, 0])
  image = _heat(axes, shares)
  tidy(axes)
  headline(figure, title)
  bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=28, pad=0.02)
  bar.set_ticks([0.01, 0.1, 0.25, 0.5, 1], labels=["1 %", "10 %", "25 %", "50 %", "100 %"])
  bar.ax.tick_params(labelsize=8, colors=FAINT, length=0)
  bar.outline.set_visible(False)
  bar.set_label("share of the true class", color=FAINT, fontsize=9)
  present = np.flatnonzero(confusion.sum(axis=1))
  worst = present[np.argsort(np.diag(shares)[present], kind="stable")][:_LISTED]
  _bars(
    figure.add_subplot(grid[0, 1]),
    [short[i] for i in worst],
    np.diag(shares)[worst],
    title="Lowest accuracy",
    color=LINES[0],
  )
  wrong = np.where(np.eye(len(shares), dtype=bool), 0, shares)
  cells = [divmod(int(i), len(shares)) for i in np.argsort(-wrong, axis=None, kind="stable")]
  cells = [cell for cell in cells[:_LISTED] if wrong[cell] > 0]
  _bars(
    figure.add_subplot(grid[1, 1]),
    [f"{_shorten(names[i], 15)} as {_shorten(names[j], 15)}" for i, j in cells],
    np.array([wrong[cell] for cell in cells]),
    title="Most frequent confusions",
    color=LINES[1],
  )
  return figure


def _bars(
  axes: Axes, labels: list[str], shares: Float[np.ndarray, " S"], *, title: str, color: str
) -> None:
  tidy(axes, title=title)
  places = np.arange(len(labels))
  axes.barh(places, shares, color=color, height=0.66)
  for place, share in zip(places, shares, strict=True):
    axes.text(share, place, f" {_percent(share)} %", va="center", fontsize=8, color=INK)
  axes.set_yticks(places, labels)
  axes.invert_yaxis()
  axes.set_xlim(0, max(float(np.max(shares, initial=0)) * 1.2, 0.01))
  axes.set_xticks([])
  axes.spines["bottom"].set_visible(False)
  axes.tick_params(axis="y", length=0)


def _percent(share: float) -> str:
  percent = 100 * share
  if percent >= 99.95:
    return "100"
  # Near both ends a tenth tells few from none.
  return f"{percent:.0f}" if 10 <= percent < 99 else f"{percent:.1f}"


def _shorten(name: str, limit: int = 18) -> str:
  """Cuts the middle out: long names often differ at their ends."""
  tail = limit // 3
  return name if len(name) <= limit else f"{name[: limit - 2 - tail]}..{name[-tail:]}"
