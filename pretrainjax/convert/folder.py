"""Reads a model that transformers wrote: config.json, safetensors, tokenizer, processor."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.config.objects import build, spec
from pretrainjax.convert import processor, vocabulary
from pretrainjax.convert.family import Table, Tokens, family_of
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.hub import locate
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.convert.table import flatten, to_ours
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError, one_line
from pretrainjax.objectives.imported import Imported
from pretrainjax.objectives.split import abstract_split
from pretrainjax.untrusted import BadFile, read_json

CONFIG = "config.json"
_POOLING = "1_Pooling/config.json"
_POOLS = {
  "pooling_mode_cls_token": "cls",
  "pooling_mode_mean_tokens": "mean",
  "pooling_mode_lasttoken": "last",
}
_log = logging.getLogger(__name__)


class Theirs(NamedTuple):
  """A model that transformers wrote, read.

  Attributes:
    config: the config that makes its networks: {"objective": spec(Imported, ...)}.
    objective: the objective that the config makes.
    module: its networks with their weights.
    folder: the folder that it was read from.
    kind: the class of transformers.
    fillers: what the folder has of the table's fillers, by the names of the table.
  """

  config: ConfigDict
  objective: Imported
  module: nnx.Module
  folder: Path
  kind: str
  fillers: Mapping[str, np.ndarray]


def read(path: Path) -> Theirs:
  """Reads a model: its networks are made as config.json says, and filled tensor by tensor.

  Args:
    path: the folder, or the model's name on the hub.

  Raises:
    UserError: for what is no model, a class or an argument that ours cannot express, tensors that
      are missing, left over or of another shape, files that lead out of the folder.
  """
  folder, inside = locate(path)
  fields = _fields(folder, inside)
  family, kind = family_of(fields)
  tensors = TensorFolder(folder, inside=inside)
  fields = Fields(fields.values, fields.path, tensors)
  recipes = family.read_config(fields, kind)
  table = family.table(recipes, kind, Tokens())
  named = _named(table, tensors, folder)
  fillers = _fillers(table, tensors, named, folder)
  for argument in set(recipes) & set(family.CLASSES[kind].optional):
    own = [rule.theirs for rule in table.rules if rule.paths[0].startswith(f"{argument}/")]
    if not any(name in named for name in own):
      del recipes[argument]
      table = family.table(recipes, kind, Tokens())
  _set_inputs(recipes["backbone"], folder, inside)
  config = ConfigDict({"objective": spec(Imported, **recipes)})
  objective, abstract = _networks(config, fields)
  module = _filled(abstract, table, tensors, named, folder)
  return Theirs(config, objective, module, folder, kind, fillers)


def read_tokenizer(path: Path) -> Tokenizer | None:
  """Reads the tokenizer of a model; None where it has none.

  Args:
    path: the folder, or the model's name on the hub.
  """
  folder, inside = locate(path)
  return vocabulary.read(folder, inside=inside)


def _fields(folder: Path, inside: Path) -> Fields:
  if not os.path.lexists(folder / CONFIG):
    raise UserError(f"hf:{folder}: {CONFIG} is missing, expected a folder of transformers")
  values = read_json(folder / CONFIG, inside=inside)
  if not isinstance(values, dict):
    raise BadFile(folder / CONFIG, "is no dictionary")
  return Fields(values, folder / CONFIG)


def _set_inputs(backbone: ConfigDict, folder: Path, inside: Path) -> None:
  """Sets what other files say: the scaling of images, the pooling of sentence-transformers."""
  with backbone.ignore_type():
    if "image_mean" in backbone:
      channels = {"num_channels": backbone.num_channels}
      found = processor.read_statistics(folder, inside=inside, **channels)
      backbone.update(found)
    if "pool" in backbone and os.path.lexists(folder / _POOLING):
      said = read_json(folder / _POOLING, inside=inside)
      modes = [p for name, p in _POOLS.items() if isinstance(said, dict) and said.get(name) is True]
      if len(modes) != 1:
        raise UserError(f"{folder / _POOLING}: expected one of {', '.join(_POOLS)} to be true")
      backbone.pool = modes[0]


def _networks(config: ConfigDict, fields: Fields) -> tuple[Imported, tuple]:
  try:
    objective = build(config.objective, path="config.objective")
    return objective, abstract_split(objective)
  except UserError as error:
    raise UserError(f"{fields.path}: makes no model: {one_line(error)[:400]}") from error


def _named(table: Table, tensors: TensorFolder, folder: Path) -> dict[str, str]:
  """The stored name of each tensor by its name in the table; what is no parameter is left out."""
  named: dict[str, str] = {}
  left = []
  for name in tensors:
    plain = table.plain(name)
    if any(re.search(pattern, plain) for pattern in table.buffers):
      continue
    if plain in named:
      raise UserError(f"{folder}: tensors {named[plain]} and {name} are both {plain}")
    named[plain] = name
  known = {rule.theirs for rule in table.rules}
  for plain in list(named):
    if plain not in known and any(re.search(pattern, plain) for pattern in table.others):
      left.append(named.pop(plain))
  if left:
    _log.warning("%s: left behind, as nothing of ours holds it: %s", folder, ", ".join(left))
  return named


def _fillers(
  table: Table, tensors: TensorFolder, named: dict[str, str], folder: Path
) -> dict[str, np.ndarray]:
  """Takes out what is nothing to our networks, with a line where it was learned."""
  found = {name: named.pop(name) for name in table.fillers if name in named}
  for name, stored in found.items():
    if tensors.shape(stored) != table.fillers[name].shape:
      expected = list(table.fillers[name].shape)
      shape = list(tensors.shape(stored))
      raise UserError(f"hf:{folder}: {stored} has shape {shape}, expected {expected}")
  learned = [stored for name, stored in found.items() if table.fillers[name].dtype.kind == "f"]
  if learned:
    said = "%s: no network of ours holds, kept for an export of this folder only: %s"
    _log.warning(said, folder, ", ".join(learned))
  return {name: _as_filler(tensors, stored, table.fillers[name]) for name, stored in found.items()}


def _as_filler(tensors: TensorFolder, stored: str, filler: np.ndarray) -> np.ndarray:
  return tensors[stored] if filler.dtype.kind == "f" else tensors.integers(stored)


class _Renamed(Mapping):
  """Tensors by other names, each still read when it is asked for."""

  def __init__(self, tensors: TensorFolder, names: Mapping[str, str]):
    self._tensors, self._names = tensors, names

  def __getitem__(self, name: str) -> np.ndarray:
    return self._tensors[self._names[name]]

  def __iter__(self) -> Iterator[str]:
    return iter(self._names)

  def __len__(self) -> int:
    return len(self._names)


def _filled(
  abstract: tuple, table: Table, tensors: TensorFolder, named: dict[str, str], folder: Path
) -> nnx.Module:
  """The networks with their weights."""
  graphdef, params, extras = abstract
  leaves = flatten(params) | flatten(extras)  # statistics of batches are among the latter
  wanted = {path: tuple(leaf.shape) for path, leaf in leaves.items()}
  try:
    _check_constants(table, tensors, named)
    _drop_copies(table, tensors, named)
    found = to_ours(table.rules, _Renamed(tensors, named), wanted=wanted, finish=_on_device)
  except BadFile:
    raise
  except UserError as error:
    raise UserError(f"hf:{folder}: {one_line(error)}") from error
  missing = sorted(set(wanted) - set(flatten(found)))
  assert not missing, f"the table of {folder} fills no {missing[:3]}"
  return nnx.merge(graphdef, found)


def _on_device(leaf: np.ndarray) -> jax.Array:
  """The array for JAX, which takes memory of the right alignment over where it is a CPU's."""
  return jax.device_put(leaf, may_alias=True)


def _check_constants(table: Table, tensors: TensorFolder, named: dict[str, str]) -> None:
  """Takes fixed tensors out, which have to be what our networks compute in their place."""
  for name, expected in table.constants.items():
    if name in named:
      stored = named.pop(name)
      found = tensors[stored]
      if found.shape != expected.shape or not np.allclose(found, expected, atol=1e-5):
        raise UserError(f"conversion: {stored} is not the fixed sine-cosine table")


def _drop_copies(table: Table, tensors: TensorFolder, named: dict[str, str]) -> None:
  """Takes tied tensors out that are stored twice; one of them is there."""
  for copy, original in table.copies.items():
    if copy in named and original not in named:
      named[original] = named.pop(copy)
    elif copy in named:
      stored = named.pop(copy)
      if not np.array_equal(tensors[stored], tensors[named[original]]):
        raise UserError(f"conversion: {stored} is not tied to {original}, as our model has it")
