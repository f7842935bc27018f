"""Our parameters as tensors of transformers and back, in memory, by the tables of commands."""

import jax
import numpy as np
from flax import nnx

from pretrainjax.config.objects import build, spec
from pretrainjax.convert import folder as folders
from pretrainjax.convert.family import Tokens, class_for, families
from pretrainjax.convert.matching import arrays_of, match
from pretrainjax.convert.table import flatten, plan
from pretrainjax.objectives.imported import Imported, ImportedTowers
from pretrainjax.objectives.split import abstract_split, split


def noise(recipes, *, objective=None):
  """Random parameters of the networks that recipes make: nested dicts, "encoder" and others."""
  rng = np.random.default_rng(0)
  shapes = abstract_split(build(spec(objective or imported(recipes), **recipes)))[1]
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)


def imported(recipes):
  """The objective that recipes are arguments of."""
  return Imported if "backbone" in recipes else ImportedTowers


def networks(recipes):
  """The module of what recipes make, with its initial values."""
  return build(spec(Imported, **recipes)).init(rngs=nnx.Rngs(3))


def read(folder):
  """The module of a model that transformers saved, and its parameters, as `hf:` reads them."""
  module = folders.read(folder).module
  return module, split(module)[1]


def same(found, expected):
  """Whether nested dicts have the same names and the same numbers."""
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def theirs(kind, params, recipes):
  """Our parameters, nested dicts, as the tensors of a class that an export writes."""
  class_for(recipes, kind=kind)  # which refuses what the class cannot be
  table = _table(kind, recipes)
  tensors = {**made(table.rules, params), **table.constants, **table.fillers}
  return {table.written(name): tensor for name, tensor in tensors.items()}


def made(rules, params):
  """The tensors that rules make of our parameters, by the names that the rules have."""
  leaves = {path: np.asarray(leaf) for path, leaf in flatten(params).items()}
  shapes = {path: leaf.shape for path, leaf in leaves.items()}
  return {one.name: one.make(leaves.__getitem__) for one in plan(rules, shapes)}


def ours(kind, tensors, recipes):
  """Tensors of a class as our parameters, nested dicts, as what is named by `hf:` is read."""
  return reader(kind, recipes)(tensors)


def reader(kind, recipes):
  """`ours` of many tensors, ours(tensors)."""
  table = _table(kind, recipes)
  _, params, _ = abstract_split(build(spec(imported(recipes), **recipes)))
  wanted = {path: tuple(leaf.shape) for path, leaf in flatten(params).items()}
  return lambda tensors: arrays_of(table, match(table, tensors), tensors, wanted=wanted)


def written_rules(kind, recipes):
  """The rules of a class by the names that it writes, as an adapter is made by them."""
  table = _table(kind, recipes)
  return tuple(rule._replace(theirs=table.written(rule.theirs)) for rule in table.rules)


def _table(kind, recipes):
  family = next(one for one in families() if kind in one.CLASSES)
  return family.table(recipes, kind, Tokens())
