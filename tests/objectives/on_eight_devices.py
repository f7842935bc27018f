"""Run by test_sharded.py in a process of its own with 8 simulated devices.

Holds loss, gradient, metrics and batch statistics to: one device = pmap over 8 = jit over 8 = a
mesh with every axis.
Classification has nothing of its own to hold: mixing is in losses/on_eight_devices.py.
"""

import sys

import conftest as tiny
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from pretrainjax import collectives
from pretrainjax.train.mesh import Axes
from pretrainjax.train.parallel import Parallel

B, DEVICES = 16, 8
tiny.VOCAB_SIZE = 30  # which two devices can share
OBJECTIVES = {
  "mae": (tiny.mae(backbone=tiny.vit(drop_path=0.2)), {"image": tiny.images(B)}),
  "simclr": (
    tiny.simclr(backbone=tiny.small_resnet, in_dim=64, augment=tiny.augment()),
    {"image": tiny.images(B, views=2)},
  ),
  # Rows have different numbers of tokens.
  "masked_lm": (tiny.masked_lm(backbone=tiny.bert(dropout=0.2)), tiny.texts(B)),
  # Its logits come in chunks, each of which lies on all devices.
  "causal_lm": (tiny.causal_lm(dropout=0.2, chunk_size=4), tiny.texts(B)),
  "simcse": (
    tiny.simcse(backbone=tiny.bert(dropout=0.2)),
    {k: v.reshape(B, 2, -1) for k, v in tiny.texts(2 * B).items()},
  ),
  "token_classification": (tiny.tagging(), tiny.tagged(B)),
  "span_corruption": (tiny.span_corruption(), tiny.texts(B)),
  "electra": (tiny.electra(backbone=tiny.bert(dropout=0.2)), tiny.texts(B)),
}


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


def main() -> int:
  assert jax.device_count() == DEVICES
  for name, (objective, batch) in OBJECTIVES.items():
    (params, extras), _ = tiny.start(objective)
    fn = tiny.gradient_fn(objective)
    single = jax.jit(fn)(params, extras, batch, tiny.KEY)
    # A ReLU at zero falls either way where rows are summed in another order: measured, one draw of
    # SimCLR's augmentation differs by 4e-3 on a mesh of 2 x 4, another by 4e-6.
    smooth = name != "simclr"
    for way in (pmapped, sharded, cut_everywhere) if smooth else (pmapped, sharded):
      other = dict(jax.tree.leaves_with_path(way(fn, params, extras, batch)))
      for path, x in jax.tree.leaves_with_path(single):
        where = f"{name}, {way.__name__}, {jax.tree_util.keystr(path)}"
        atol = 1e-5 * (1 + float(jnp.abs(x).max()))
        np.testing.assert_allclose(other[path], x, rtol=0, atol=atol, err_msg=where)
    print(name, {k: round(float(v), 4) for k, v in single[1][0].items()})
  return 0


if __name__ == "__main__":
  sys.exit(main())
