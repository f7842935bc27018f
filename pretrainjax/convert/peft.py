"""Low-rank updates in the layout of the PEFT library: adapter_config.json and a safetensors file.

The same tables that convert whole models say which of their layers an update belongs to.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pretrainjax.convert import safetensors
from pretrainjax.convert.table import LINEAR, Planned, Rule, Tensors, flatten, tensors_of
from pretrainjax.errors import UserError
from pretrainjax.models.layers.lora import LORA_A, LORA_B
from pretrainjax.objectives.lora import LoRA
from pretrainjax.untrusted import replace

PREFIX = "base_model.model"
_LAYER = "{layer}"
CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"


class PeftAdapter(NamedTuple):
  """An adapter as PEFT stores it.

  Attributes:
    config: the content of adapter_config.json.
    tensors: the tensors of adapter_model.safetensors by name.
  """

  config: dict[str, Any]
  tensors: Tensors


class _Update(NamedTuple):
  """The update of one of their linear layers; `parts` is how many of ours it is made of."""

  module: str
  a: np.ndarray
  b: np.ndarray
  parts: int


def to_peft(
  params: Mapping[str, Any],
  rules: tuple[Rule, ...],
  *,
  lora: LoRA,
  is_trained: Callable[[tuple[str, ...]], bool],
  base: str | None = None,
  task: str | None = None,
) -> PeftAdapter:
  """Converts the low-rank updates of a run, and the networks that were trained whole beside them.

  Where their layer is several of ours in one (GPT-2's c_attn), the update is that of each part on
  the diagonal of one of so many times the rank: the same function, told by rank_pattern.

  Args:
    params: the parameters of an adapted module, or of a part of it, nested dicts.
    rules: the table of the plain network that `params` are of, whose left sides are its paths.
    lora: the updates' settings.
    is_trained: whether a path was trained, as `Adapted.is_trained` says, for what has no update.
    base: the model that the adapter is for, a folder or a name; None leaves that to the loader.
    task: PEFT's task, "SEQ_CLS" and others; None is a bare model.

  Raises:
    UserError: for an update of a layer that the table has not as a linear layer.
  """
  leaves = flatten(params)
  updates = [one for rule in rules for one in _updates(rule, leaves)]
  known = {path.rpartition("/")[0] for rule in rules for path in rule.paths}
  for path in leaves:
    layer, _, name = path.rpartition("/")
    if name == LORA_A and layer not in known:
      raise UserError(f"conversion: their model has no layer for the update of {layer}")
  if not updates:
    raise UserError("conversion: found no low-rank updates, expected a run with config.lora")
  tensors = {}
  for one in updates:
    tensors[f"{PREFIX}.{one.module}.lora_A.weight"] = one.a
    tensors[f"{PREFIX}.{one.module}.lora_B.weight"] = one.b
  whole = _trained_whole(rules, leaves, is_trained)
  tensors |= {f"{PREFIX}.{name}": tensor for name, tensor in whole.items()}
  fused = {re.escape(one.module): one.parts for one in updates if one.parts > 1}
  alpha = lora.scale * lora.rank
  config = {
    "peft_type": "LORA",
    "task_type": task,
    "base_model_name_or_path": base,
    "r": lora.rank,
    "lora_alpha": _whole_number(alpha),
    "lora_dropout": lora.dropout,
    "target_modules": sorted(one.module for one in updates),
    "modules_to_save": _outermost({name.rpartition(".")[0] for name in whole}) or None,
    "rank_pattern": {name: lora.rank * parts for name, parts in fused.items()},
    "alpha_pattern": {name: _whole_number(alpha * parts) for name, parts in fused.items()},
    "bias": "none",
    "fan_in_fan_out": _is_conv1d(rules, leaves),
    "init_lora_weights": True,
    "inference_mode": True,
    "use_rslora": False,
    "use_dora": False,
  }
  return PeftAdapter(config, {name: np.ascontiguousarray(x) for name, x in tensors.items()})


def write_peft(folder: Path, adapter: PeftAdapter) -> None:
  """Writes an adapter's two files; the tensors first, as a folder without a config is none.

  Args:
    folder: the folder, which is made if it is missing.
    adapter: the adapter, of `to_peft`.
  """
  folder.mkdir(parents=True, exist_ok=True)
  temporary = folder / f"{TENSORS}.tmp"
  temporary.unlink(missing_ok=True)  # of a process that was killed
  shapes = {name: tensor.shape for name, tensor in adapter.tensors.items()}
  safetensors.write_file(temporary, shapes, adapter.tensors.__getitem__)
  temporary.replace(folder / TENSORS)
  replace(folder / CONFIG, json.dumps(adapter.config, indent=2, sort_keys=True) + "\n")


def _updates(rule: Rule, leaves: Mapping[str, Any]) -> Iterator[_Update]:
  """The updates of a rule's kernels, one for each of their layers."""
  layers = [path.removesuffix("/kernel") for path in rule.paths]
  if not any(f"{layer}/{LORA_A}" in leaves for layer in layers):
    return
  if not rule.theirs.endswith(".weight"):
    if all(path.endswith("/kernel") for path in rule.paths):
      raise UserError(f"conversion: their {rule.theirs} is no linear layer, and has no update")
    return
  module = rule.theirs.removesuffix(".weight")
  depth = None
  if _LAYER in module:
    depth = next(len(leaves[f"{one}/kernel"]) for one in layers if f"{one}/{LORA_A}" in leaves)
  for i in [None] if depth is None else range(depth):
    name = module if i is None else module.format(layer=i + rule.first)
    pairs, widths = [], []
    for one in layers:
      values = [leaves.get(f"{one}/{key}") for key in (LORA_A, LORA_B)]
      pair = [None if x is None else np.asarray(x if i is None else x[i]) for x in values]
      pairs.append(pair)
      widths.append(np.shape(leaves[f"{one}/kernel"])[-1])
    yield _on_the_diagonal(name, pairs, widths)


def _on_the_diagonal(name: str, pairs: list[list[Any]], widths: list[int]) -> _Update:
  """One update of parts that lie side by side in what their layer puts out."""
  adapted = [(a, b, i) for i, (a, b) in enumerate(pairs) if a is not None]
  rank = adapted[0][0].shape[-1]
  down = np.concatenate([a.T for a, _, _ in adapted])  # parts * rank, in
  up = np.zeros((sum(widths), rank * len(adapted)), down.dtype)
  for column, (_, b, i) in enumerate(adapted):
    start = sum(widths[:i])
    up[start : start + widths[i], column * rank : (column + 1) * rank] = b.T
  return _Update(name, down, up, len(adapted))


def _trained_whole(
  rules: tuple[Rule, ...], leaves: Mapping[str, Any], is_trained: Callable[..., bool]
) -> Tensors:
  """The tensors of what was trained beside the updates, by their names."""
  found = [
    rule
    for rule in rules
    if all(path in leaves and is_trained(tuple(path.split("/"))) for path in rule.paths)
  ]
  return {one.name: one.make(lambda p: np.asarray(leaves[p])) for one in planned(found, leaves)}


def planned(rules: Iterable[Rule], leaves: Mapping[str, Any]) -> Iterator[Planned]:
  """The tensors of those rules whose parameters are all there.

  Args:
    rules: the table of the plain network, or a part of it.
    leaves: the parameters by path.
  """
  shapes = {path: np.shape(leaf) for path, leaf in leaves.items()}
  for rule in rules:
    if all(path in leaves for path in rule.paths):
      yield from tensors_of(rule, shapes)


def _outermost(modules: set[str]) -> list[str]:
  """Those that lie in no other: PEFT copies each with all that is in it."""
  inner = {one for one in modules for other in modules if one.startswith(f"{other}.")}
  return sorted(modules - inner)


def _is_conv1d(rules: tuple[Rule, ...], leaves: Mapping[str, Any]) -> bool:
  """Whether their layers keep kernels as ours do (GPT-2's Conv1D), not transposed."""
  kernels = [rule for rule in rules if f"{rule.paths[0].rpartition('/')[0]}/{LORA_A}" in leaves]
  return all(rule.layout is not LINEAR for rule in kernels if rule.paths[0].endswith("/kernel"))


def _whole_number(value: float) -> float | int:
  return int(value) if float(value).is_integer() else value
