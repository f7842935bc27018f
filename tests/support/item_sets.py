"""A small prepared set of interactions with some taste in it, and a recommender for it."""

import functools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx
from interactions import asked, trained, write_interactions
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.data.item_data import ItemData
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.types import Encoded, Events

NUM_ITEMS, NUM_USERS = 12, 20
_DAY = 86_400


def write_tastes(data_dir: Path, *, name: str = "films", **options) -> Path:
  """Even users take even items, odd ones odd; item 1 and 2 are popular, 11 and 12 of late.

  Users 18 and 19 have no event in training, and 19 no history at all.
  """
  rng = np.random.default_rng(0)
  train, validation, test = [], [], []
  for user in range(NUM_USERS - 2):
    own = rng.permutation(np.arange(1 + user % 2, NUM_ITEMS - 1, 2))[:4].tolist()
    items = [2 - user % 2, *own, 12 - user % 2][:6]
    times = [_DAY * day for day in (0, 1, 2, 3, 4, 90)]
    train.append(trained(user, items, times))
    held = int(rng.integers(1, 11))
    validation.append(asked(user, items, held, times, num_train=6))
    later = [*times, 91 * _DAY]
    test.append(asked(user, [*items, held], int(rng.choice(own)), later, num_train=6))
  test.append(asked(NUM_USERS - 2, [2, 4], 6, [95 * _DAY, 96 * _DAY], num_train=0))
  test.append(asked(NUM_USERS - 1, [], 12, num_train=0))
  titles = [f"The film {number}" for number in range(1, NUM_ITEMS + 1)]
  splits = {"train": train, "validation": validation, "test": test}
  sizes = {"num_items": NUM_ITEMS, "num_users": NUM_USERS, "titles": titles}
  return write_interactions(data_dir / name, splits, **(sizes | options))


def split(data_dir: Path, which: str, **changes) -> ItemData:
  """A split of the set, in batches that do not come out even."""
  options = {"datasets": "films", "data_dir": str(data_dir), "batch_size": 8, "length": 3}
  return ItemData(split=which, **(options | changes))


class TinyRecommender(nnx.Module):
  """The mean of the vectors of the newest items, and a bias an item; rows to spare."""

  def __init__(self, num_items: int = NUM_ITEMS, *, embed_dim: int = 4, rngs: nnx.Rngs):
    self.num_items, self.embed_dim, self.max_length = num_items, embed_dim, 3
    self.table = nnx.Embed(num_items + 4, embed_dim, rngs=rngs)
    self.bias = nnx.Param(jnp.append(jnp.linspace(0, 1, num_items + 1), jnp.full(3, 9.0)))

  def inputs(self, batch) -> Events:
    return Events(*(batch[name] for name in ("items", "times", "user")))

  def __call__(self, inputs, *, keep=None, deterministic=True, rngs=None) -> Encoded:
    valid = jnp.asarray(inputs.items) > 0
    tokens = self.table(jnp.asarray(inputs.items)) * valid[..., None]
    pooled = tokens.sum(1) / jnp.maximum(valid.sum(1), 1)[:, None]
    return Encoded(tokens, pooled, valid)

  def queries(self, encoded: Encoded):
    return encoded.pooled

  def candidates(self):
    return self.table.embedding[...], self.bias[...]


@functools.cache
def recommender() -> TinyRecommender:
  """One with random vectors."""
  return TinyRecommender(rngs=nnx.Rngs(0))


class Recommending(Objective):
  """An objective that trained it."""

  def encoder(self, module):
    return module.encoder


def loaded(data_dir: Path, encoder: nnx.Module | None = None) -> Loaded:
  """A run on the set."""
  data = {"datasets": "films", "data_dir": str(data_dir)}
  module = Towers(encoder=encoder or recommender())
  return Loaded(ConfigDict({"data": data}), Recommending(), module, 3, workdir=data_dir)
