"""The transformer of histories: who sees whom, what padding and cuts change, what is compared."""

import item_objectives as tiny
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.models.item_transformer import newest_events
from pretrainjax.types import Events, Recommender

VARIANTS = [
  {"layers": "ligr"},
  {"positions": "rotary", "order": "post"},
  {"positions": "interval", "layers": "ligr"},
]


def made(**changes):
  return tiny.merged_encoder(tiny.transformer(**changes))


def events(batch):
  return Events(*(jnp.asarray(batch[name]) for name in ("items", "times", "user")))


@pytest.mark.parametrize("changes", VARIANTS)
def test_events_see_none_that_come_later(changes):
  encoder, batch = made(**changes), tiny.histories(4, length=tiny.LENGTH)
  before = encoder.sequence(events(batch))
  batch["items"][0, 4:] = 5
  batch["times"][0, 4:] = 0
  after = encoder.sequence(events(batch))
  np.testing.assert_allclose(after[0, :4], before[0, :4], atol=1e-5)
  assert float(jnp.abs(after[0, 4:] - before[0, 4:]).max()) > 1e-3


@pytest.mark.parametrize("changes", [*VARIANTS, {"causal": False}])
def test_padding_changes_nothing(changes):
  encoder = made(**changes)
  batch = tiny.histories(4, length=5)
  longer = batch | {k: np.pad(batch[k], ((0, 0), (0, 2))) for k in ("items", "times")}
  queries = [encoder.queries(encoder(encoder.inputs(b))) for b in (batch, longer)]
  np.testing.assert_allclose(queries[0][:-1], queries[1][:-1], atol=1e-5)
  assert all(np.isfinite(q).all() for q in queries)  # of an empty history too


def test_where_all_see_all_a_mask_behind_the_history_is_compared():
  encoder, batch = made(causal=False), tiny.histories(4, length=tiny.LENGTH)
  read = encoder.inputs(batch)
  counts = (batch["items"] > 0).sum(axis=1)
  assert read.items.shape == (4, tiny.LENGTH + 1)
  assert [int(row[n]) for row, n in zip(read.items, counts, strict=True)] == [31] * 4
  encoded = encoder(read)
  expected = encoded.tokens[np.arange(4), counts]
  np.testing.assert_array_equal(encoded.pooled, expected)


def test_of_longer_histories_the_newest_events_are_read():
  batch = tiny.histories(4, length=tiny.LENGTH + 3)
  cut = newest_events(events(batch), tiny.LENGTH)
  for row in range(4):
    real = batch["items"][row][batch["items"][row] > 0][-tiny.LENGTH :]
    assert cut.items[row, : len(real)].tolist() == real.tolist()
    assert not cut.items[row, len(real) :].any()
  encoder = made()
  assert encoder.inputs(batch).items.shape == (4, tiny.LENGTH)


def test_intervals_change_what_is_seen_and_a_shift_of_all_does_not():
  encoder, batch = made(positions="interval"), tiny.histories(4, length=tiny.LENGTH)
  first = encoder.sequence(events(batch))
  shifted = batch | {"times": np.where(batch["items"] > 0, batch["times"] + 1000, 0)}
  np.testing.assert_allclose(encoder.sequence(events(shifted))[:2], first[:2], atol=1e-5)
  slower = batch | {"times": batch["times"] * 50}
  assert float(jnp.abs(encoder.sequence(events(slower)) - first).max()) > 1e-3


@pytest.mark.parametrize("use_bias", [False, True])
def test_scores_are_of_the_items_alone(use_bias):
  encoder, batch = made(use_bias=use_bias), tiny.histories(4, length=tiny.LENGTH)
  assert isinstance(encoder, Recommender)
  vectors, bias = encoder.candidates()
  assert vectors.shape == (tiny.NUM_ITEMS + 1, 16)
  assert (bias is not None) == use_bias
  table, biases = encoder.table.whole()
  scores = encoder.queries(encoder(encoder.inputs(batch))) @ table.T + biases[None]
  best = jnp.argmax(scores, axis=1)
  assert ((best >= 1) & (best <= tiny.NUM_ITEMS)).all()
  shares = jax.nn.softmax(scores, axis=1)
  assert float(shares[:, [0, *range(tiny.NUM_ITEMS + 1, table.shape[0])]].max()) == 0


def test_refuses_gates_behind_norms():
  with pytest.raises(ValueError, match="order='post'"):
    tiny.transformer(layers="ligr", order="post")(rngs=nnx.Rngs(0))
