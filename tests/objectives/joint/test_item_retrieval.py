"""Two towers: what is asked of a row, the loss by NumPy, tables that are read first."""

import json

import interactions
import item_objectives as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives
from flax import nnx

from pretrainjax.objectives.joint.item_retrieval import asked_of

KEY = jax.random.key(1)


def test_an_event_is_asked_for_by_those_before_it():
  batch = tiny.histories(40)
  events, target, counted = asked_of(KEY, batch)
  places = set()
  for row in range(40):
    items, read = batch["items"][row], np.asarray(events.items[row])
    place = (read > 0).sum()
    if counted[row]:
      assert read[:place].tolist() == items[:place].tolist() and place >= 1
      assert target[row] == items[place] > 0
      places.add(place)
    else:
      assert (items > 0).sum() <= 1
  assert places == set(range(1, tiny.LENGTH + 1))


@pytest.mark.parametrize("log_q", [False, True])
def test_equals_numpy_row_by_row(log_q):
  objective = tiny.retrieval(log_q=log_q)
  module, batch = tiny.merged(objective), tiny.histories(12)
  counts = np.arange(tiny.NUM_ITEMS + 1) ** 2
  module.popularity.learn(counts)
  events, target, counted = asked_of(nnx.Rngs(KEY).target(), batch)
  queries = np.asarray(module.encoder.queries(module.encoder(events)), np.float64)
  vectors = np.asarray(module.encoder.candidates()[0], np.float64)[np.asarray(target)]
  odds = (counts + 1)[np.asarray(target)] / (counts[1:] + 1).sum()
  scores = queries @ vectors.T - (np.log(odds) if log_q else 0)
  losses = []
  for i in np.nonzero(counted)[0]:
    kept = [j for j in range(12) if j == i or target[j] not in (0, target[i])]
    losses.append(np.log(np.exp(scores[i, kept]).sum()) - scores[i, i])
  loss, metrics = objective.loss(module, batch, rngs=nnx.Rngs(KEY), step=0)
  np.testing.assert_allclose(loss, np.mean(losses), atol=1e-4)
  assert metrics["loss"] == loss and 0 < metrics["feature_std"] < 1.5


def test_overfits_one_batch():
  objective, batch = tiny.retrieval(log_q=False), tiny.histories()
  first, last = tiny_objectives.overfit(objective, batch, num_steps=60)
  assert first["loss"] > 1 > 0.3 > last["loss"]
  assert last["in_batch_accuracy"] > 0.9


def test_counts_and_features_are_read_before_the_first_step(tmp_path):
  features = [{"genres": ["War", "Drama"]}, {"year": "1977"}]
  folder = interactions.write_interactions(
    tmp_path / "log",
    {"train": [[1, 2, 2], [2]]},
    num_items=tiny.NUM_ITEMS,
    item_features=features,
  )
  users = [{"id": str(i), "count": 1, "features": {"age": str(i)}} for i in range(2)]
  (folder / "users.jsonl").write_text("".join(json.dumps(user) + "\n" for user in users))
  sizes = {"num_item_features": 3, "features_per_item": 2, "num_users": 2}
  sizes |= {"num_user_features": 2, "features_per_user": 1}
  objective = tiny.retrieval(backbone=tiny.towers(**sizes), catalogue=str(folder))
  module = objective.init(rngs=nnx.Rngs(0))
  assert objective.first_batches == 1
  objective.learn_first(module, iter(()), KEY)
  known = module.encoder.item_side.known[...]
  assert known[:4].tolist() == [[0, 0], [1, 2], [3, 0], [0, 0]]
  assert module.encoder.user_side.known[:3].tolist() == [[1], [2], [0]]
  odds = jnp.exp(module.popularity.log_q(jnp.array([1, 2, 3])))
  np.testing.assert_allclose(odds, np.array([2, 4, 1]) / (4 + tiny.NUM_ITEMS), rtol=1e-5)
