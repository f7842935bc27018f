"""Run by test_sharded.py in a process of its own with 8 simulated devices, for the rows it names.

Holds loss, gradient, metrics and batch statistics to: one device = pmap over 8 = jit over 8 = a
mesh with every axis.
Classification has nothing of its own to hold: mixing is in losses/on_eight_devices.py.
"""

import functools
import sys
from typing import Any, NamedTuple

import item_objectives as items
import jax
import jax.numpy as jnp
import numpy as np
import sound_objectives
import tiny_objectives as tiny
from fake_sounds import spoken
from jax.sharding import NamedSharding, PartitionSpec
from new_objectives import VICReg

from pretrainjax import collectives
from pretrainjax.models.heads import Projector
from pretrainjax.objectives.lora import LoRA, adapted
from pretrainjax.objectives.supervised.distillation import Distillation
from pretrainjax.train.mesh import Axes
from pretrainjax.train.parallel import Parallel

B, DEVICES = 16, 8
tiny.VOCAB_SIZE = 30  # which two devices can share


def projector(in_dim=tiny.EMBED_DIM):
  return functools.partial(Projector, in_dim=in_dim, hidden_dim=16, out_dim=8)


def pmapped(fn, params, extras, batch):
  def one_device(*arguments):
    gradient, (metrics, new_extras) = fn(*arguments)
    gradient, metrics = collectives.mean((gradient, metrics))
    return gradient, (metrics, new_extras)

  shards = jax.tree.map(lambda x: x.reshape(DEVICES, -1, *x.shape[1:]), batch)
  run = jax.pmap(one_device, axis_name=collectives.AXIS, in_axes=(None, None, 0, None))
  out = run(params, extras, shards, tiny.KEY)
  jax.tree.map(lambda x: np.testing.assert_array_equal(x[0], x[-1]), out)  # devices agree
  return jax.tree.map(lambda x: x[0], out)


def sharded(fn, params, extras, batch, axes=Axes()):
  parallel = Parallel(mesh=axes)
  mesh = parallel.device_mesh

  def on_mesh(*arguments):
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
      return fn(*arguments)

  everywhere = NamedSharding(mesh, PartitionSpec())
  params = jax.device_put(params, parallel.state_sharding(params))
  extras, key = jax.device_put((extras, tiny.KEY), everywhere)
  return jax.jit(on_mesh)(params, extras, parallel.put(batch), key)


def cut_everywhere(fn, params, extras, batch):
  return sharded(fn, params, extras, batch, Axes(fsdp=2, tensor=2, context=2))


class Row(NamedTuple):
  """An objective, and how it is held to one device.

  Attributes:
    objective: a tiny one.
    batch: of all devices.
    tolerance: the largest difference allowed in an array, as a share of 1 + its largest absolute
      value. Sums in another order err by what was summed, not by the number that is left of it: so
      small numbers of an array are allowed what its large ones are, and small arrays what 1 is.
    ways: of computing it on eight devices.
  """

  objective: Any
  batch: dict[str, np.ndarray]
  tolerance: float = 1e-5
  ways: tuple = (pmapped, sharded, cut_everywhere)


VIEWS = {"image": tiny.images(B, views=2)}
ROWS = {
  "mae": Row(tiny.mae(backbone=tiny.vit(drop_path=0.2)), {"image": tiny.images(B)}),
  "simclr": Row(
    tiny.simclr(backbone=tiny.small_resnet, in_dim=64, augment=tiny.augment()),
    VIEWS,
    # A ReLU at zero falls either way where rows are summed in another order: measured, one draw of
    # the augmentation differs by 4e-3 on a mesh of 2 x 4, another by 4e-6.
    ways=(pmapped, sharded),
  ),
  # Rows have different numbers of tokens.
  "masked_lm": Row(tiny.masked_lm(backbone=tiny.bert(dropout=0.2)), tiny.texts(B)),
  # Its logits come in chunks, each of which lies on all devices.
  "causal_lm": Row(tiny.causal_lm(dropout=0.2, chunk_size=4), tiny.texts(B)),
  "simcse": Row(
    tiny.simcse(backbone=tiny.bert(dropout=0.2)),
    {k: v.reshape(B, 2, -1) for k, v in tiny.texts(2 * B).items()},
  ),
  "token_classification": Row(tiny.tagging(), tiny.tagged(B)),
  # Rows have different numbers of labels, none among them.
  "ctc": Row(tiny.recognition(rate=0.2), spoken(B)),
  "attention_ctc": Row(
    tiny.attention_ctc(rate=0.2, vocab_size=10, decoder={"vocab_size": 10}), spoken(B)
  ),
  # Of some devices' rows, none has a span.
  "question_answering": Row(tiny.answering(), tiny.asked(B)),
  "span_corruption": Row(tiny.span_corruption(), tiny.texts(B)),
  "electra": Row(tiny.electra(backbone=tiny.bert(dropout=0.2)), tiny.texts(B)),
  "lora": Row(
    adapted(tiny.classification(), LoRA(rank=4, dropout=0.2, layers=("*attention/*", "*mlp/*"))),
    {"image": tiny.images(B), "label": tiny.labels(B)},
  ),
  # Rows have different numbers of tokens here too.
  "distillation": Row(
    Distillation(tiny.bert(dropout=0.2), tiny.bert(), level="tokens"), tiny.texts(B)
  ),
  # Rows have different lengths, some of them no hidden tokens in common.
  "best_rq": Row(sound_objectives.best_rq(), sound_objectives.sounds(B)),
  # Rows have different numbers of patches, each its own share of them hidden.
  "mae_of_sounds": Row(
    sound_objectives.mae(decoder={"window": (4, 2)}), sound_objectives.sounds(B)
  ),
  # Rows have different numbers of events; the table of items is cut by rows over four devices.
  "next_item": Row(
    items.next_item(
      backbone=items.transformer(num_items=1000, layers="ligr", positions="interval", dropout=0.2),
      negatives="mixed",
      log_q=True,
    ),
    items.histories(B),
  ),
  "next_item_of_all": Row(
    items.next_item(
      backbone=items.transformer(num_items=1000, use_head=True, use_bias=True),
      criterion="softmax",
      chunk_size=5,
    ),
    items.histories(B),
  ),
  "masked_items": Row(items.masked_items(), items.histories(B)),
  "cl4srec": Row(
    items.cl4srec(criterion="binary", num_negatives=2, shared=False), items.histories(B)
  ),
  "item_retrieval": Row(
    items.retrieval(
      backbone=items.towers(num_items=1000, num_item_features=4, features_per_item=2, dropout=0.2)
    ),
    items.histories(B),
  ),
  "hubert": Row(sound_objectives.hubert(), sound_objectives.sounds(B)),
  "wav2vec2": Row(sound_objectives.pretraining(), sound_objectives.sounds(B)),
  # Squares of the deviations, times 25, nearly cancel: measured 1.1e-5 in one of 512 numbers.
  "vicreg": Row(VICReg(tiny.vit(), projector(), augment=tiny.augment()), VIEWS, tolerance=2e-5),
}


def main() -> int:
  assert jax.device_count() == DEVICES
  for name in sys.argv[1:]:
    row = ROWS[name]
    (params, extras), _ = tiny.start(row.objective)
    fn = tiny.gradient_fn(row.objective)
    single = jax.jit(fn)(params, extras, row.batch, tiny.KEY)
    for way in row.ways:
      other = dict(jax.tree.leaves_with_path(way(fn, params, extras, row.batch)))
      for path, x in jax.tree.leaves_with_path(single):
        where = f"{name}, {way.__name__}, {jax.tree_util.keystr(path)}"
        atol = row.tolerance * (1 + float(jnp.abs(x).max()))
        np.testing.assert_allclose(other[path], x, rtol=0, atol=atol, err_msg=where)
    print(name, {k: round(float(v), 4) for k, v in single[1][0].items()})
  return 0


if __name__ == "__main__":
  sys.exit(main())
