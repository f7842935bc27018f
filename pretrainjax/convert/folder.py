"""Reads a model that transformers wrote: config.json, safetensors, tokenizer, processor."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.config.objects import build, spec
from pretrainjax.convert import processor, vocabulary
from pretrainjax.convert.classes import class_names
from pretrainjax.convert.family import Family, SoundFamily, Table, Tokens, family_of
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.hub import locate
from pretrainjax.convert.matching import Matched, arrays_of, match
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.convert.sentence_transformers import read_pooling
from pretrainjax.convert.table import flatten, names_by_rule
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError, one_line
from pretrainjax.objectives.imported import Imported, ImportedTowers
from pretrainjax.objectives.split import abstract_split
from pretrainjax.untrusted import BadFile, read_json

CONFIG = "config.json"
_log = logging.getLogger(__name__)


class Theirs(NamedTuple):
  """A model that transformers wrote, read.

  Attributes:
    config: the config that makes its networks: {"objective": spec(Imported, ...)}, or
      ImportedTowers.
    objective: the objective that the config makes.
    module: its networks with their weights.
    folder: the folder that it was read from.
    kind: the class of transformers.
    fillers: what the folder has of the table's fillers, by the names of the table.
  """

  config: ConfigDict
  objective: Imported | ImportedTowers
  module: nnx.Module
  folder: Path
  kind: str
  fillers: Mapping[str, np.ndarray]


class Opened(NamedTuple):
  """A model of which config.json and the headers of its files are read, and no tensor.

  Attributes:
    config: the config that makes its networks, as of `Theirs`.
    objective: the objective that the config makes.
    abstract: (graphdef, params, extras) of the objective's module, shapes in place of arrays.
    folder: the folder that it lies in.
    fields: the values of config.json.
    kind: the class of transformers.
    table: what the tensors of the class are to us.
    tensors: the tensors that are there, by the names that they are stored under.
    matched: what each of them is to the table.
  """

  config: ConfigDict
  objective: Imported | ImportedTowers
  abstract: tuple[Any, Any, Any]
  folder: Path
  fields: Fields
  kind: str
  table: Table
  tensors: TensorFolder
  matched: Matched

  def sizes(self) -> dict[str, tuple[int, int]]:
    """The number of parameters, and of other values, of each network."""
    _, *trees = self.abstract
    counts = [{name: _count(tree) for name, tree in one.items()} for one in trees]
    return {name: (count, counts[1].get(name, 0)) for name, count in counts[0].items()}

  def names_of(self, part: str) -> list[str]:
    """The stored names of the tensors that a network's parameters are made of."""
    with _about(self.folder):
      by_rule = names_by_rule(self.table.rules, self.matched.named)
    names = [n for rule, ns in by_rule.items() if rule.paths[0].startswith(f"{part}/") for n in ns]
    return [self.matched.named[name] for name in names]


def _count(tree: Any) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def read(path: Path) -> Theirs:
  """Reads a model: its networks are made as config.json says, and filled tensor by tensor.

  Args:
    path: the folder, or the model's name on the hub.

  Raises:
    UserError: for what is no model, a class or an argument that ours cannot express, tensors that
      are missing, left over or of another shape, files that lead out of the folder.
  """
  opened = open_model(path)
  fillers = _read_fillers(opened)
  module = nnx.merge(opened.abstract[0], read_arrays(opened, finish=_on_device))
  made = (opened.config, opened.objective, module, opened.folder, opened.kind)
  return Theirs(*made, fillers)


def open_model(path: Path) -> Opened:
  """Reads what a model is, without its tensors: as fast for a terabyte as for a megabyte.

  Args:
    path: the folder, or the model's name on the hub.

  Raises:
    UserError: as `read`, but for what only the tensors show.
  """
  folder, inside = locate(path)
  fields = _fields(folder, inside)
  family, kind = family_of(fields)
  tensors = TensorFolder(folder, inside=inside)
  fields = Fields(fields.values, fields.path, tensors)
  recipes = family.read_config(fields, kind)
  table = family.table(recipes, kind, Tokens())
  present = {table.plain(name) for name in tensors}
  for argument in set(recipes) & set(family.CLASSES[kind].optional):
    own = {rule.theirs for rule in table.rules if rule.paths[0].startswith(f"{argument}/")}
    if not own & present:
      del recipes[argument]
      table = family.table(recipes, kind, Tokens())
  with _about(folder):
    matched = match(table, tensors)
  _check_fillers(table, tensors, matched, folder)
  if matched.left:
    said = "%s: left behind, as nothing of ours holds it: %s"
    _log.warning(said, folder, ", ".join(matched.left))
  for name in {"backbone", "image", "text"} & recipes.keys():
    _set_inputs(family, recipes[name], folder, inside)
  networks = Imported if "backbone" in recipes else ImportedTowers
  config = ConfigDict({"objective": spec(networks, **recipes)})
  objective, abstract = _networks(config, fields)
  made = (config, objective, abstract, folder, fields)
  return Opened(*made, kind, table, tensors, matched)


def read_arrays(
  opened: Opened, *, finish: Callable[[str, np.ndarray], Any], only: str = ""
) -> dict[str, Any]:
  """Reads the arrays of a model's networks, nested dicts of what `finish` makes of each.

  Args:
    opened: the model, as of `open_model`.
    finish: the function of an array's path, "encoder/norm/scale", and its value; no more than
      one is in memory beside what it returns.
    only: what begins the paths of those that are made, "encoder/"; "" makes all.

  Raises:
    UserError: for tensors that are missing, left over, or not what the table has.
  """
  _, params, extras = opened.abstract
  leaves = flatten(params) | flatten(extras)  # statistics of batches are among the latter
  wanted = {path: tuple(leaf.shape) for path, leaf in leaves.items()}
  with _about(opened.folder):
    how = {"wanted": wanted, "finish": finish, "only": only}
    found = arrays_of(opened.table, opened.matched, opened.tensors, **how)
  missing = sorted({path for path in wanted if path.startswith(only)} - set(flatten(found)))
  assert not missing, f"the table of {opened.folder} fills no {missing[:3]}"
  return found


def read_tokenizer(path: Path) -> Tokenizer | None:
  """Reads the tokenizer of a model; None where it has none.

  Args:
    path: the folder, or the model's name on the hub.
  """
  folder, inside = locate(path)
  return vocabulary.read(folder, inside=inside)


def read_names(path: Path) -> tuple[str, ...]:
  """Reads the names of a model's classes; () where it has none.

  Args:
    path: the folder, or the model's name on the hub.
  """
  return class_names(_fields(*locate(path)))


def scores_classes_alone(path: Path) -> bool:
  """Whether a model's classes do not exclude each other: several may be true of an example.

  Args:
    path: the folder, or the model's name on the hub.
  """
  return _fields(*locate(path)).get("problem_type", None) == "multi_label_classification"


def _fields(folder: Path, inside: Path) -> Fields:
  if not os.path.lexists(folder / CONFIG):
    raise UserError(f"hf:{folder}: {CONFIG} is missing, expected a folder of transformers")
  values = read_json(folder / CONFIG, inside=inside)
  if not isinstance(values, dict):
    raise BadFile(folder / CONFIG, "is no dictionary")
  return Fields(values, folder / CONFIG)


def _set_inputs(family: Family, backbone: ConfigDict, folder: Path, inside: Path) -> None:
  """Sets what other files say: scaling of inputs, pooling of sentence-transformers, padding."""
  with backbone.ignore_type():
    if isinstance(family, SoundFamily):
      extractor = processor.read_extractor(folder, inside=inside)
      found = {} if extractor is None else family.read_processor(extractor, backbone)
      backbone.update(found)
    if "image_mean" in backbone:
      usual = {"mean": backbone.image_mean, "std": backbone.image_std}
      usual |= {"num_channels": backbone.num_channels, "size": backbone.get("image_size")}
      found = processor.read_statistics(folder, inside=inside, **usual)
      backbone.update(found)
    if backbone.get("fill_id") is not None:
      found = vocabulary.read_pad_id(folder, inside=inside)
      backbone.fill_id = backbone.fill_id if found is None else found
    elif "pool" in backbone and "vocab_size" in backbone:
      found = read_pooling(folder, inside=inside, max_length=backbone.get("max_length"))
      backbone.pool = found or backbone.pool


def _networks(config: ConfigDict, fields: Fields) -> tuple[Imported | ImportedTowers, tuple]:
  try:
    objective = build(config.objective, path="config.objective")
    return objective, abstract_split(objective)
  except UserError as error:
    raise UserError(f"{fields.path}: makes no model: {one_line(error)[:400]}") from error


def _check_fillers(table: Table, tensors: TensorFolder, matched: Matched, folder: Path) -> None:
  """Refuses what is nothing to our networks where it has another shape than an export gives it."""
  for name, stored in matched.fillers.items():
    shape, expected = list(tensors.shape(stored)), list(table.fillers[name].shape)
    if shape != expected:
      raise UserError(f"hf:{folder}: {stored} has shape {shape}, expected {expected}")


def _read_fillers(opened: Opened) -> dict[str, np.ndarray]:
  """What is nothing to our networks, by the names of the table; a line says what was learned."""
  there = opened.matched.fillers
  is_learned = {name: opened.table.fillers[name].dtype.kind == "f" for name in there}
  if learned := [stored for name, stored in there.items() if is_learned[name]]:
    said = "%s: no network of ours holds, kept for an export of this folder only: %s"
    _log.warning(said, opened.folder, ", ".join(learned))
  return {
    name: opened.tensors[stored] if is_learned[name] else opened.tensors.integers(stored)
    for name, stored in there.items()
  }


@contextlib.contextmanager
def _about(folder: Path) -> Iterator[None]:
  """Says of which model a mistake is."""
  try:
    yield
  except BadFile:
    raise
  except UserError as error:
    raise UserError(f"hf:{folder}: {one_line(error)}") from error


def _on_device(_: str, leaf: np.ndarray) -> jax.Array:
  """The array for JAX, which takes memory of the right alignment over where it is a CPU's."""
  return jax.device_put(leaf, may_alias=True)
