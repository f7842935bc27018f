"""The low-rank updates of a run in PEFT's files, with the networks that were trained whole."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.peft import PREFIX, PeftAdapter, planned, to_peft, write_peft
from pretrainjax.convert.table import Rule, flatten
from pretrainjax.errors import UserError
from pretrainjax.export.networks import Networks, networks_of
from pretrainjax.export.write import Written, names_of
from pretrainjax.models.layers.lora import LORA_A, LORA_B
from pretrainjax.objectives.lora import Adapted, merge
from pretrainjax.objectives.split import split

# PEFT's tasks, by the ends of names of classes; of others it need not know.
_TASKS = {
  "ForSequenceClassification": "SEQ_CLS",
  "ForCausalLM": "CAUSAL_LM",
  "LMHeadModel": "CAUSAL_LM",
  "ForConditionalGeneration": "SEQ_2_SEQ_LM",
}
_UPDATES = (LORA_A, LORA_B)


class Adapter(NamedTuple):
  """An adapter that was written.

  Attributes:
    written: what was written.
    networks: the run's networks, updates in their kernels.
    base: the same without updates, and zeros where the adapter brings whole networks.
  """

  written: Written
  networks: Networks
  base: Networks


def write_adapter(
  folder: Path, loaded: Loaded, *, part: str | None, kind: str | None, base: str | None
) -> Adapter:
  """Writes adapter_config.json and adapter_model.safetensors.

  Args:
    folder: the folder, which is there.
    loaded: the run, its updates beside its kernels.
    part: the part that is written alone; None takes all that the class holds.
    kind: the class of transformers of the base model; None takes the one that holds most.
    base: the base model's folder or name; None leaves it to the loader.

  Raises:
    UserError: for a run without updates, or networks that no class holds.
  """
  objective = loaded.objective
  if not isinstance(objective, Adapted):
    raise UserError(
      "--form=peft: found a run without low-rank updates, expected one of finetune "
      "with --config.lora.rank"
    )
  found = {name: split(network)[1] for name, network in objective.parts(loaded.module).items()}
  networks = networks_of(_merged(loaded, objective), part)
  family, name, arguments = class_for(networks.recipes, kind=kind)
  held = names_of(arguments) & set(found)
  table = family.table(networks.recipes, name, Tokens.of(loaded.tokenizer))
  rules = tuple(rule._replace(theirs=table.written(rule.theirs)) for rule in table.rules)
  params = {network: found[network] for network in held}
  adapter = to_peft(
    params,
    rules,
    lora=objective.lora,
    is_trained=objective.is_trained,
    base=base,
    task=next((task for end, task in _TASKS.items() if name.endswith(end)), None),
  )
  leaves = flatten(params)
  copies = {table.written(copy): table.written(one) for copy, one in table.copies.items()}
  adapter = _with_whole_modules(adapter, rules, leaves, copies)
  write_peft(folder, adapter)
  whole = _trained_whole(leaves, objective.is_trained)
  saved = {path for rule in rules if whole.issuperset(rule.paths) for path in rule.paths}
  left = sorted(whole - saved) + sorted(found.keys() - held)
  count = sum(tensor.size for tensor in adapter.tensors.values())
  written = Written(name, tuple(sorted(held)), tuple(left), count, networks.reads)
  return Adapter(written, networks, _base(networks, leaves, saved))


def _merged(loaded: Loaded, objective: Adapted) -> Loaded:
  """The run with updates in its kernels; what has none keeps its arrays."""
  module = nnx.merge(*nnx.split(loaded.module))
  merge(module)
  return dataclasses.replace(loaded, objective=objective.objective, module=module)


def _with_whole_modules(
  adapter: PeftAdapter,
  rules: tuple[Rule, ...],
  leaves: Mapping[str, Any],
  copies: Mapping[str, str],
) -> PeftAdapter:
  """An adapter with all tensors of the modules that it saves: PEFT looks for each of them."""
  modules = tuple(f"{module}." for module in adapter.config["modules_to_save"] or ())
  found = {one.name: one for one in planned(rules, leaves)}
  found |= {copy: found[one] for copy, one in copies.items() if one in found}
  whole = {f"{PREFIX}.{name}": one for name, one in found.items() if name.startswith(modules)}
  missing = {
    name: one.make(lambda path: np.asarray(leaves[path]))
    for name, one in whole.items()
    if name not in adapter.tensors
  }
  return adapter._replace(tensors={**adapter.tensors, **missing})


def _trained_whole(leaves: Mapping[str, Any], is_trained: Callable[..., bool]) -> set[str]:
  paths = [path.split("/") for path in leaves]
  return {"/".join(p) for p in paths if p[-1] not in _UPDATES and is_trained(tuple(p))}


def _base(networks: Networks, leaves: Mapping[str, Any], saved: set[str]) -> Networks:
  kept = {path: leaf for path, leaf in leaves.items() if path.rpartition("/")[2] not in _UPDATES}
  kept |= {path: np.zeros(kept[path].shape, np.float32) for path in saved}
  return networks._replace(params={**networks.params, **kept})
