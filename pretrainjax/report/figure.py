"""The look that all figures share, without pyplot's global state."""

import os
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, FAINT, GRID = "#22262b", "#6b7280", "#e5e7eb"
# Distinct in lightness too, for readers who do not tell hues apart.
LINES = ("#1f5fa8", "#d9772b", "#2f8f63", "#a83a5b", "#7a5cb0", "#8c6d31", "#3aa6b9", "#5b6470")


def new_figure(width: float, height: float) -> Figure:
  """A blank figure of so many inches, drawn by Agg: it needs no display."""
  figure = Figure(figsize=(width, height), dpi=140, layout="constrained", facecolor="white")
  FigureCanvasAgg(figure)
  figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
  return figure


def tidy(axes: Axes, *, title: str = "") -> None:
  """Takes away what carries no information, and sets the title on the left."""
  for side in ("top", "right"):
    axes.spines[side].set_visible(False)
  for side in ("left", "bottom"):
    axes.spines[side].set_color("#c3c8cf")
  axes.tick_params(colors=FAINT, labelsize=8, length=3, color="#c3c8cf")
  axes.xaxis.label.set(color=FAINT, fontsize=9)
  axes.yaxis.label.set(color=FAINT, fontsize=9)
  if title:
    axes.set_title(title, loc="left", color=INK, fontsize=10.5, fontweight="bold", pad=8)


def headline(figure: Figure, text: str) -> None:
  """Sets the title of the whole figure, on the left."""
  figure.suptitle(text, x=0.012, ha="left", color=INK, fontsize=12, fontweight="bold")


def save(figure: Figure, path: Path) -> None:
  """Writes a PNG, whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.name}.{os.getpid()}")
  figure.savefig(temporary, format="png")
  temporary.replace(path)
