"""Tiny recommenders, what trains them, and histories for them."""

import functools

import jax
import numpy as np
from flax import nnx

from pretrainjax.models.item_towers import ItemTowers
from pretrainjax.models.item_transformer import ItemTransformer
from pretrainjax.objectives.autoregressive.next_item import NextItem
from pretrainjax.objectives.joint.cl4srec import CL4SRec
from pretrainjax.objectives.joint.item_retrieval import ItemRetrieval
from pretrainjax.objectives.masked.masked_items import MaskedItems

NUM_ITEMS, NUM_USERS, LENGTH = 30, 9, 7
SIZES = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}


def transformer(**changes):
  options = {"num_items": NUM_ITEMS, "max_length": LENGTH} | SIZES | changes
  return functools.partial(ItemTransformer, **options)


def towers(**changes):
  sizes = {"num_items": NUM_ITEMS, "num_users": NUM_USERS, "max_length": LENGTH}
  return functools.partial(ItemTowers, embed_dim=16, mlp_dim=32, **(sizes | changes))


def next_item(backbone=None, **changes):
  options = {"num_negatives": 12, "layers": "ligr"} | changes
  layers = options.pop("layers")
  return NextItem(backbone=backbone or transformer(layers=layers), **options)


def masked_items(backbone=None, **changes):
  head = {"causal": False, "use_head": True, "use_bias": True, "order": "post"}
  return MaskedItems(backbone=backbone or transformer(**head), **({"mask_rate": 0.4} | changes))


def cl4srec(backbone=None, **changes):
  return CL4SRec(backbone=backbone or transformer(), **changes)


def retrieval(backbone=None, **changes):
  return ItemRetrieval(backbone=backbone or towers(), **({"catalogue": ""} | changes))


def histories(batch_size=8, *, length=LENGTH + 1, seed=0):
  """Rows of 1 to `length` events, of irregular times; the second to last has one, the last none."""
  rng = np.random.default_rng(seed)
  counts = rng.integers(3, length + 1, batch_size)
  counts[:2], counts[-2], counts[-1] = length, 1, 0
  real = np.arange(length)[None] < counts[:, None]
  items = np.where(real, rng.integers(1, NUM_ITEMS + 1, (batch_size, length)), 0)
  gaps = np.exp(rng.uniform(0, 14, (batch_size, length))).astype(np.int64)
  times = np.cumsum(np.where(real, gaps, 0), axis=1)
  times = np.where(real, times[:, -1:] - times, 0)
  numbers = {"user": np.arange(batch_size) % NUM_USERS, "num_train": counts}
  numbers |= {"target": np.zeros(batch_size)}
  arrays = {"items": items, "times": times} | numbers
  return {name: np.asarray(array).astype(np.int32) for name, array in arrays.items()}


def merged_encoder(backbone, seed=0):
  """A new encoder, as `merged`."""
  return _moved(backbone(rngs=nnx.Rngs(seed)), seed)


def merged(objective, seed=0):
  """A new module of an objective whose parameters are large enough to differ."""
  return _moved(objective.init(rngs=nnx.Rngs(seed)), seed)


def _moved(module, seed):
  state = nnx.state(module, nnx.Param)
  keys = iter(jax.random.split(jax.random.key(seed), len(jax.tree.leaves(state))))
  nnx.update(
    module, jax.tree.map(lambda x: x + 0.3 * jax.random.normal(next(keys), x.shape), state)
  )
  return module


def all_scores(encoder, compared):
  """Scores of the items by number, in float64; of padding and [MASK] none."""
  scores = np.full((*compared.shape[:-1], NUM_ITEMS + 1), -np.inf)
  table = np.asarray(encoder.table.item_embedding[...], np.float64)
  scores[..., 1:] = np.asarray(compared, np.float64) @ table[1 : NUM_ITEMS + 1].T
  if encoder.table.item_bias is not None:
    scores[..., 1:] += np.asarray(encoder.table.item_bias[...], np.float64)[1 : NUM_ITEMS + 1]
  return scores


def softmax_loss(scores, target):
  """-log softmax of a target among scores of one event."""
  return np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[target]
