"""Run by test_sharded.py in a process of its own with 8 simulated devices.

Holds every function that draws per example or looks at other devices' examples to: one device
= pmap over 8 = jit over 8.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from pretrainjax import masking
from pretrainjax.augment import mixing
from pretrainjax.augment.color import ColorAugment
from pretrainjax.losses.contrastive import info_nce, nt_xent
from pretrainjax.objectives.feature_spread import feature_std

B, DEVICES = 16, 8
KEY = jax.random.key(3)


def three_ways(f, x):
  """f(rows) -> pytree of rows, on one device, pmapped and sharded."""
  mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Auto,))
  sharding = NamedSharding(mesh, PartitionSpec("data"))
  single = jax.jit(f)(x)
  parts = jax.pmap(f, axis_name="data")(x.reshape(DEVICES, -1, *x.shape[1:]))
  pmapped = jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), parts)
  sharded = jax.jit(f, out_shardings=sharding)(jax.device_put(x, sharding))
  return single, pmapped, sharded


def check(name, f, x, *, atol=1e-6):
  single, pmapped, sharded = three_ways(f, x)
  for way, other in (("pmap", pmapped), ("jit", sharded)):
    jax.tree.map(
      lambda a, b, w=way: np.testing.assert_allclose(a, b, atol=atol, err_msg=f"{name}, {w}"),
      single,
      other,
    )


def loss_and_gradient(loss):
  """Gradients reach other devices' rows, so they are of the sum over all devices."""
  return lambda x: (loss(x), jax.grad(lambda y: loss(y).sum())(x))


def main() -> int:
  assert jax.device_count() == DEVICES
  rng = np.random.default_rng(0)
  views = jnp.asarray(rng.normal(size=(B, 2, 12)), jnp.float32)
  images = jnp.asarray(rng.integers(0, 256, (B, 8, 8, 3)), jnp.uint8)
  augmentation = ColorAugment(0.8, 0.8, 0.8, 0.2, 0.8, 0.2, 0.5, 0.2)

  def mix(x):
    labels = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
    return mixing.mixup_or_cutmix(x, labels, mixup_alpha=0.8, cutmix_alpha=1.0, key=KEY)

  check("nt_xent", loss_and_gradient(lambda x: nt_xent(x, temperature=0.2)), views)
  check("info_nce", loss_and_gradient(lambda x: info_nce(x[:, 0], x[:, 1], temperature=0.2)), views)
  check("feature_std", lambda x: jnp.broadcast_to(feature_std(x[:, 0]), len(x)), views)
  check("augment", lambda x: augmentation(x, KEY), images)
  check("mix", mix, images, atol=1e-4)
  check("random", lambda x: masking.random_mask(KEY, (len(x), 20), mask_ratio=0.75), images)
  check("block", lambda x: masking.block_mask(KEY, (len(x), 5, 5), mask_ratio=0.6), images)
  check(
    "span", lambda x: masking.span_mask(KEY, (len(x), 20), mask_ratio=0.5, span_length=4), images
  )
  return 0


if __name__ == "__main__":
  sys.exit(main())
