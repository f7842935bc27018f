"""BERT4Rec: which items are hidden, and the loss by NumPy."""

import item_objectives as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives
from flax import nnx

from pretrainjax.types import Events

KEY = jax.random.key(1)


def test_equals_numpy_over_hidden_items():
  objective = tiny.masked_items(last_share=0.3)
  module, batch = tiny.merged(objective), tiny.histories()
  chosen = objective.hidden(nnx.Rngs(KEY).mask(), jnp.asarray(batch["items"] > 0))
  hidden = batch["items"].copy()
  places = [
    (row, int(place))
    for row in range(len(hidden))
    for place, is_real in zip(chosen.positions[row], chosen.valid[row], strict=True)
    if is_real
  ]
  for place in places:
    hidden[place] = tiny.NUM_ITEMS + 1
  x = module.encoder.sequence(Events(jnp.asarray(hidden), batch["times"], batch["user"]))
  scores = tiny.all_scores(module.encoder, module.encoder.compared(x))
  expected = [tiny.softmax_loss(scores[place], batch["items"][place]) for place in places]
  loss, metrics = objective.loss(module, batch, rngs=nnx.Rngs(KEY), step=0)
  np.testing.assert_allclose(loss, np.mean(expected), atol=1e-4)
  hits = [scores[place].argmax() == batch["items"][place] for place in places]
  np.testing.assert_allclose(metrics["masked_accuracy"], np.mean(hits), atol=1e-5)


def test_a_share_of_the_rows_hides_the_newest_item_alone():
  valid = jnp.arange(10)[None] < jnp.array([10, 6, 1, 0] * 500)[:, None]
  rows = tiny.masked_items(last_share=0.3, mask_rate=0.3).hidden(KEY, valid)
  counts = np.asarray(valid.sum(1))
  assert [sorted(set(np.asarray(rows.valid.sum(1))[counts == n])) for n in (10, 6, 1, 0)] == [
    [1, 3],
    [1, 2],
    [1],
    [0],
  ]
  only = (rows.valid.sum(1) == 1) & (rows.positions[:, 0] == counts - 1)
  assert 0.25 < only[counts == 10].mean() < 0.35
  assert not np.asarray(valid)[np.asarray(counts) == 10][0, :0].any()
  for positions, real, n in zip(rows.positions, rows.valid, counts, strict=True):
    assert all(int(p) < n for p in positions[real])
    assert len(set(positions.tolist())) == len(positions)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_overfits_one_batch(share):
  objective, batch = tiny.masked_items(last_share=share), tiny.histories()
  first, last = tiny_objectives.overfit(objective, batch, num_steps=60)
  assert first["loss"] > 2 > 0.5 > last["loss"]
  assert last["masked_accuracy"] > 0.9


def test_refuses_an_encoder_that_sees_only_what_was_before():
  with pytest.raises(ValueError, match="causal: found True"):
    tiny.masked_items(backbone=tiny.transformer()).init(rngs=nnx.Rngs(0))
