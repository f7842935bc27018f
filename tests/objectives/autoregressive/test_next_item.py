"""Next-item prediction: its losses by NumPy, what it needs, what it refuses."""

import dataclasses

import interactions
import item_objectives as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives
from flax import nnx

from pretrainjax.data.item_data import ItemData
from pretrainjax.errors import UserError
from pretrainjax.objectives.autoregressive.next_item import NextItem, next_of

KEY = jax.random.key(1)
CRITERIA = ["sampled_softmax", "softmax", "binary", "calibrated"]


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def reference(objective, module, batch):
  """Mean over events, one after the other, of the loss that the objective names."""
  asked = next_of(batch)
  drawn, log_q = objective.drawn(module, asked, nnx.Rngs(KEY).negatives())
  assert drawn.shape == (8, 1 if objective.shared else tiny.LENGTH, objective.num_negatives)
  encoder, losses = module.encoder, []
  scores = tiny.all_scores(encoder, encoder.compared(encoder.sequence(asked.events)))
  for row, place in zip(*np.nonzero(batch["items"][:, 1:]), strict=True):
    target, of = batch["items"][row, place + 1], scores[row, place]
    if objective.criterion == "softmax":
      losses.append(tiny.softmax_loss(of, target))
      continue
    its = 0 if objective.shared else place
    kept = [k for k in range(objective.num_negatives) if drawn[row, its, k] != target]
    others = np.array([of[drawn[row, its, k]] for k in kept])
    if objective.criterion == "sampled_softmax":
      if objective.log_q:
        others = others - np.asarray(log_q[row, its], np.float64)[kept]
        others = others - np.log(objective.num_negatives)
      losses.append(np.log(np.exp(of[target]) + np.exp(others).sum()) - of[target])
    else:
      alpha, t = objective.num_negatives / (tiny.NUM_ITEMS - 1), objective.calibration
      beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha) if objective.criterion == "calibrated" else 1
      losses.append(-np.log(sigmoid(of[target]) ** beta) - np.log(1 - sigmoid(others)).sum())
  return np.mean(losses), len(losses)


@pytest.mark.parametrize(
  "changes",
  [
    *({"criterion": name} for name in CRITERIA),
    {"log_q": True, "negatives": "mixed"},
    {"log_q": True, "negatives": "mixed", "shared": False, "num_negatives": 3},
    {"criterion": "binary", "shared": False, "num_negatives": 1},
    {"backbone": tiny.transformer(use_head=True, use_bias=True, order="post")},
  ],
  ids=[*CRITERIA, "mixed", "mixed for each", "one for each", "head"],
)
def test_equals_numpy_event_by_event(changes):
  objective = tiny.next_item(**changes)
  module, batch = tiny.merged(objective), tiny.histories()
  if objective.needs_counts:
    module.popularity.learn(np.arange(tiny.NUM_ITEMS + 1) ** 2)
  expected, count = reference(objective, module, batch)
  assert count == (batch["items"] > 0).sum() - 7  # the first of each of seven rows
  loss, metrics = objective.loss(module, batch, rngs=nnx.Rngs(KEY), step=0)
  np.testing.assert_allclose(loss, expected, atol=1e-4)
  np.testing.assert_array_equal(metrics["loss"], loss)


@pytest.mark.repeat
def test_chunks_change_nothing():
  found = [
    tiny_objectives.run(tiny.next_item(criterion="softmax", chunk_size=size), tiny.histories())
    for size in (None, 5)
  ]
  for one, other in zip(*(jax.tree.leaves(run.gradient) for run in found), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("criterion", ["sampled_softmax", "softmax"])
def test_overfits_one_batch_and_trains_every_parameter(criterion):
  objective = tiny.next_item(criterion=criterion)
  batch = tiny.histories()
  done = tiny_objectives.run(objective, batch)
  # The softmax does not see a shift of all its logits.
  known = {"encoder.blocks.attention.key.bias"}
  assert tiny_objectives.without_gradient(done.gradient) <= known
  first, last = tiny_objectives.overfit(objective, batch, num_steps=60)
  name = "next_item_accuracy" if criterion == "softmax" else "accuracy_among_drawn"
  assert first["loss"] > 2 > 0.5 > last["loss"]
  assert last[name] > 0.9 > first[name]
  assert last["feature_std"] > 0.1


def test_nothing_to_predict_is_no_loss():
  batch = tiny.histories(2) | {"items": np.eye(1, 8, dtype=np.int32).repeat(2, axis=0)}
  done = tiny_objectives.run(tiny.next_item(), batch)
  assert done.metrics["loss"] == 0
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(done.gradient))


def test_counts_are_read_where_popularity_is_needed(tmp_path):
  folder = interactions.write_interactions(
    tmp_path / "log", {"train": [[1, 2, 2, 3], [2, 1]]}, num_items=tiny.NUM_ITEMS
  )
  objective = tiny.next_item(negatives="popularity", catalogue=str(folder))
  module = objective.init(rngs=nnx.Rngs(0))
  assert objective.first_batches == 1
  objective.learn_first(module, iter(()), KEY)
  odds = np.exp(np.asarray(module.popularity.log_q(jnp.arange(1, 4))))
  np.testing.assert_allclose(odds, np.array([3, 4, 2]) / (6 + tiny.NUM_ITEMS), rtol=1e-5)
  for changes in ({"negatives": "uniform", "log_q": True}, {"criterion": "softmax"}):
    plain = tiny.next_item(**changes)
    assert plain.first_batches == 0 and not hasattr(plain.init(rngs=nnx.Rngs(0)), "popularity")


def test_refuses_data_of_another_kind_or_catalogue(tmp_path):
  interactions.write_interactions(
    tmp_path / "log", {"train": [[1, 2, 2, 3]]}, num_items=tiny.NUM_ITEMS
  )
  options = {"datasets": "log", "data_dir": str(tmp_path), "batch_size": 2, "length": tiny.LENGTH}
  data = ItemData(next_item=True, **options)
  objective = tiny.next_item()
  objective.check(data)
  with pytest.raises(UserError, match=r"next_item: found False, expected True"):
    objective.check(ItemData(**options))
  with pytest.raises(UserError, match=r"data.length: found 8, expected at most 7"):
    objective.check(ItemData(next_item=True, **(options | {"length": 8})))
  with pytest.raises(UserError, match=r"num_items: found 31, expected 30"):
    tiny.next_item(backbone=tiny.transformer(num_items=31)).check(data)
  with pytest.raises(UserError, match="found int, expected ItemData"):
    objective.check(3)
  with pytest.raises(UserError, match="catalogue: found ''.*negatives='popularity'"):
    dataclasses.replace(objective, negatives="popularity").check(data)


def test_refuses_a_correction_of_what_is_no_sampled_softmax():
  with pytest.raises(ValueError, match="log_q=True: expected False with criterion='binary'"):
    NextItem(backbone=tiny.transformer(), criterion="binary", log_q=True)
