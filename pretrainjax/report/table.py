"""Tables for the terminal that are also Markdown: a run's config, and its results."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from pretrainjax.config.allowed import TARGET
from pretrainjax.config.objects import RECIPE
from pretrainjax.config.text import flatten
from pretrainjax.evaluators.compare import RANDOM_INIT, TRAINED
from pretrainjax.evaluators.results import CLASS_PREFIX, Row, is_share

_WIDTH = 100
# What a fit chooses for itself, and what the data gives: more is not better.
_CHOSEN = ("l2", "train_iterations", "of_absent_classes")


def config_table(config: ConfigDict) -> str:
  """A config as a short table: a line for each thing that it names, with its arguments.

  Arguments that are None are left out, and what stands there already is only referred to.
  """
  lines, seen = [], {}
  loose = {key: config[key] for key in config if not isinstance(config[key], ConfigDict)}
  if loose:
    lines.append(("run", _arguments(loose)))
  for key in config:
    if isinstance(config[key], ConfigDict):
      lines += _config_lines(key, config[key], seen)
  width = max((len(name) for name, _ in lines), default=0)
  return "\n".join(
    textwrap.fill(
      text,
      _WIDTH,
      initial_indent=f"  {name.ljust(width)}  ",
      subsequent_indent=" " * (width + 4),
      break_long_words=False,
      break_on_hyphens=False,
    )
    for name, text in lines
  )


def results_table(rows: Iterable[Row]) -> str:
  """Results as a table, one line a number, with the random-init encoder's beside it if it is there.

  Accuracies are in percent, their difference in points. Below stands each evaluator's protocol.
  The accuracies of single classes are left out, see `class_table`.

  Args:
    rows: the results of one checkpoint; of several rows for one number the last counts.
  """
  rows = [row for row in rows if not row.metric.startswith(CLASS_PREFIX)]
  if not rows:
    return "(no results)"
  trained = next((row for row in rows if row.encoder == TRAINED), None)
  step = "" if trained is None or trained.step is None else f" (step {trained.step})"
  header = ["evaluator", "number", "split", f"trained{step}", "random init", "difference"]
  body = _body(rows)
  if all(row.encoder == TRAINED for row in rows):
    header, body = header[:4], [line[:4] for line in body]
  protocols = {row.evaluator: row.protocol for row in reversed(rows)}
  notes = [
    textwrap.fill(f"{name}: {_protocol(protocol)}", _WIDTH, subsequent_indent="  ")
    for name, protocol in reversed(protocols.items())
  ]
  return "\n".join([markdown_table(header, body, right=(3, 4, 5)), "", *notes])


def class_table(rows: Iterable[Row], *, evaluator: str) -> str:
  """Each class's accuracy as a table, with the random-init encoder's beside it."""
  rows = [row for row in rows if row.evaluator == evaluator and row.metric.startswith(CLASS_PREFIX)]
  body = [(name.removeprefix(CLASS_PREFIX), *values) for _, name, _, *values in _body(rows)]
  return markdown_table(("class", "trained", "random init", "difference"), body, right=(1, 2, 3))


def markdown_table(
  header: Sequence[str], body: Iterable[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
  """A Markdown table whose columns are aligned in plain text too.

  Args:
    header: the titles of the columns.
    body: the cells of each row, as many as columns.
    right: indices of the columns aligned to the right.
  """
  cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (header, *body)]
  widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
  rule = ["-" * (width - 1) + ":" if i in right else "-" * width for i, width in enumerate(widths)]
  return "\n".join(
    "| "
    + " | ".join(
      cell.rjust(width) if i in right else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    + " |"
    for row in (cells[0], rule, *cells[1:])
  )


def _body(rows: Sequence[Row]) -> list[tuple[str, ...]]:
  values = {(row.evaluator, row.metric, row.encoder): row.value for row in rows}
  splits = {row.evaluator: _split(row.protocol) for row in rows}
  body = []
  for evaluator, metric in dict.fromkeys((row.evaluator, row.metric) for row in rows):
    trained = values.get((evaluator, metric, TRAINED))
    random = values.get((evaluator, metric, RANDOM_INIT))
    numbers = (_number(metric, trained), _number(metric, random), _gain(metric, trained, random))
    body.append((evaluator, metric, splits[evaluator], *numbers))
  return body


def _split(protocol: Mapping[str, Any]) -> str:
  """The split that was measured: of what is tested, where something is fitted on another one."""
  for name in ("test", "data"):
    if isinstance(fields := protocol.get(name), Mapping) and fields.get("split"):
      return _words(fields, "split", "part")
  return "-"


def _number(metric: str, value: float | None) -> str:
  if value is None or math.isnan(value):
    return "-"
  return f"{100 * value:.2f} %" if is_share(metric) else f"{value:.4g}"


def _gain(metric: str, trained: float | None, random: float | None) -> str:
  if trained is None or random is None or metric in _CHOSEN:
    return "-"
  gain = trained - random
  if math.isnan(gain):
    return "-"
  return f"{100 * gain:+.2f}" if is_share(metric) else f"{gain:+.3g}"


def _protocol(protocol: Mapping[str, Any]) -> str:
  parts = []
  for key, value in protocol.items():
    if value is None or key == "random_seed":
      continue
    if isinstance(value, Mapping):
      value = _data(value)
    if isinstance(value, (list, tuple)):
      value = " ".join(str(v) for v in value)
    parts.append(f"{key} {value}")
  return "; ".join(parts)


def _data(fields: Mapping[str, Any]) -> str:
  """A dataset in a few words."""
  words = _words(fields, "datasets", "split", "part")
  if fields.get("label_fraction", 1) < 1:
    words += f" ({fields['label_fraction']:g} of the labels, seed {fields.get('label_seed')})"
  if few := fields.get("examples_per_class"):
    words += f" ({few} examples a class, seed {fields.get('label_seed')})"
  return words.strip() or str(fields.get("class", ""))


def _words(fields: Mapping[str, Any], *keys: str) -> str:
  """The values of those keys that say something; data.part says so, where it is not "all"."""
  return " ".join(str(fields[key]) for key in keys if fields.get(key) and fields[key] != "all")


def _config_lines(path: str, node: ConfigDict, seen: dict[str, str]) -> list[tuple[str, str]]:
  """Lines of a node and what lies in it; `seen` is the paths of nodes by their content."""
  first = seen.setdefault(repr(flatten(node)), path)
  if first != path:
    return [(path, f"as {first}")]
  plain, nested = {}, []
  for key in node:
    if isinstance(node[key], ConfigDict):
      nested += _config_lines(f"{path}.{key}", node[key], seen)
    elif key not in (TARGET, RECIPE):
      plain[key] = node[key]
  name = node[TARGET].rpartition(":")[2] if TARGET in node else ""
  arguments = _arguments(plain)
  text = f"{name}({arguments})" if name else arguments
  return ([(path, text)] if text else []) + nested


def _arguments(values: Mapping[str, Any]) -> str:
  return ", ".join(f"{key}={_brief(value)}" for key, value in values.items() if value is not None)


def _brief(value: Any) -> str:
  if isinstance(value, tuple):
    return "(" + ",".join(_brief(v) for v in value) + ")"
  return f"{value:g}" if isinstance(value, float) else str(value)
