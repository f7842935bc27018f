"""CL4SRec: its sum by NumPy; views are in tests/augment/test_items.py."""

import item_objectives as tiny
import jax
import numpy as np
import pytest
import tiny_objectives
from flax import nnx

from pretrainjax.augment.items import two_views
from pretrainjax.objectives.autoregressive.next_item import next_of

KEY = jax.random.key(1)


def test_equals_numpy_over_views():
  objective = tiny.cl4srec(weight=0.5, temperature=2.0)
  module, batch = tiny.merged(objective), tiny.histories(5)
  rngs = nnx.Rngs(KEY)
  loss, metrics = objective.loss(module, batch, rngs=rngs, step=0)
  shares = {"crop": 0.6, "mask": 0.3, "reorder": 0.6}
  # "softmax" draws nothing, and nothing is dropped: these are the first keys.
  views = two_views(nnx.Rngs(KEY).augment(), next_of(batch).events, mask_id=31, **shares)
  z = np.asarray(module.encoder(views).pooled, np.float64)
  dots = z @ z.T / 2
  losses = []
  for i in range(10):
    others = [j for j in range(10) if j != i]
    losses.append(np.log(np.exp(dots[i, others] - dots.max()).sum()) + dots.max() - dots[i, i ^ 1])
  np.testing.assert_allclose(metrics["contrastive_loss"], np.mean(losses), rtol=1e-4)
  np.testing.assert_allclose(
    loss, metrics["next_item_loss"] + 0.5 * metrics["contrastive_loss"], rtol=1e-5
  )
  plain = tiny.next_item(criterion="softmax", backbone=tiny.transformer())
  alone, _ = plain.loss(module, batch, rngs=nnx.Rngs(KEY), step=0)
  np.testing.assert_allclose(metrics["next_item_loss"], alone, atol=1e-5)


@pytest.mark.repeat
def test_overfits_one_batch():
  batch = tiny.histories(6)
  first, last = tiny_objectives.overfit(tiny.cl4srec(), batch, num_steps=80)
  assert first["next_item_loss"] > 2 > 0.7 > last["next_item_loss"]
  assert last["contrastive_loss"] < first["contrastive_loss"]
