"""The text that a run prints at its start: six facts, what is left out, and what differs."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from pretrainjax.config.text import difference, flatten
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.lora import Adapted
from pretrainjax.train.assemble import Run

_LABEL, _WIDTH = 10, 100


def start_text(
  run: Run, workdir: Path, *, changes: Sequence[str], filled_in: Sequence[str] = ()
) -> str:
  """The facts of a run and the changes to its config, one a line.

  Args:
    run: the run, built from its config.
    workdir: the folder that the run's files go to.
    changes: the lines of `config_changes`.
    filled_in: what the config left open, of `train.open_values.filled_in`.
  """
  facts = {
    "model": _model(run),
    "data": _data(run),
    "left out": "\n".join(f"{name}: {reason}" for name, reason in run.left_out.items()),
    "duration": _duration(run),
    "devices": _devices(run),
    "precision": _precision(run.config),
    "files": f"{workdir}, a checkpoint every {run.train.checkpoint_every:,} steps",
    "changed": "\n".join(changes) or "nothing, all values are the config file's",
  }
  if filled_in:
    facts["filled in"] = textwrap.fill(
      ", ".join(filled_in), _WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False
    )
  indent = "\n" + " " * (_LABEL + 1)
  lines = {name: text.replace("\n", indent) for name, text in facts.items() if text}
  return "\n".join(f"{name.ljust(_LABEL)} {text}" for name, text in lines.items())


def config_changes(defaults: ConfigDict, config: ConfigDict) -> list[str]:
  """The values that differ as lines "key: old -> new"; what changes alike in many places is one.

  Args:
    defaults: the config as its file has it.
    config: the config with the user's overrides.
  """
  lines = _without_insides(difference(defaults, config))
  ends: dict[str, list[str]] = {}
  for line in lines:
    key = line.partition(": ")[0]
    ends.setdefault(line[key.rfind(".") + 1 :], []).append(line)
  told = []
  for end, alike in ends.items():
    told.append(alike[0] if len(alike) == 1 else f"{end} (in {len(alike)} places)")
  return told


def _without_insides(lines: Sequence[str]) -> list[str]:
  """One line for a whole part that a value was put in place of, "evals: {...} -> None"."""
  keys = [line.partition(": ")[0] for line in lines]
  given = [key for key, line in zip(keys, lines, strict=True) if ": (absent) -> " in line]
  parts = {key for key in given if any(other.startswith(f"{key}.") for other in keys)}
  return [
    line.replace("(absent)", "{...}", 1) if key in parts else line
    for key, line in zip(keys, lines, strict=True)
    if not any(key.startswith(f"{part}.") for part in parts)
  ]


def _model(run: Run) -> str:
  """The objective, its encoder, and the parameters of each part."""
  params = run.abstract_state.params
  sizes = {part: sum(leaf.size for leaf in jax.tree.leaves(params[part])) for part in params}
  total = sum(sizes.values())
  parts = f" ({', '.join(f'{part} {_count(size)}' for part, size in sizes.items())})"
  whole = run.objective.objective if isinstance(run.objective, Adapted) else run.objective
  names = [type(whole).__name__, *_class_names(run.config, "objective.backbone")]
  text = f"{' on '.join(names)}, {_count(total)} parameters{parts if len(sizes) > 1 else ''}"
  trained = _count_trained(run.objective, params)
  return text if trained == total else f"{text}, of them trained: {_count(trained)}"


def _count_trained(objective: Objective, params: Any) -> int:
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return sum(x.size for path, x in leaves if objective.is_trained(tuple(k.key for k in path)))


def _data(run: Run) -> str:
  datasets = run.config.data.get("datasets")
  if isinstance(datasets, (Mapping, ConfigDict)):
    datasets = " + ".join(datasets)
  words = [str(word) for word in (datasets, run.config.data.get("split")) if word]
  size = f"{run.data.num_examples:,} examples, {run.data.batch_size:,} a step"
  return f"{' '.join(words)}: {size}" if words else size


def _duration(run: Run) -> str:
  epochs = run.total_steps * run.data.batch_size / run.data.num_examples
  return f"{run.total_steps:,} steps, {epochs:.3g} epochs"


def _devices(run: Run) -> str:
  devices = jax.devices()
  counts = f"{len(devices)} x {devices[0].device_kind}"
  if jax.process_count() > 1:
    counts += f" in {jax.process_count()} processes"
  sizes = run.parallel.device_mesh.shape
  mesh = " ".join(f"{name}={size}" for name, size in sizes.items() if size > 1)
  return f"{counts}, {run.parallel.mode} on the mesh {mesh or 'data=1'}"


def _precision(config: ConfigDict) -> str:
  found = {v for k, v in flatten(config.objective).items() if k.rpartition(".")[2] == "dtype"}
  return f"float32 parameters, computes in {' and '.join(sorted(found)) or 'float32'}"


def _class_names(config: ConfigDict, key: str) -> list[str]:
  """The name of the class at a key, [] where the config names none there."""
  target: Any = flatten(config).get(f"{key}._target", "")
  return [target.rpartition(":")[2]] if target else []


def _count(number: int) -> str:
  """A number of parameters in four letters or so: "451 K", "86.6 M", "1.24 B"."""
  for unit, scale in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
    if number >= scale:
      return f"{number / scale:.3g} {unit}"
  return str(number)
