import math

import jax
import numpy as np
import pytest
from sides import _product_flops
from visit import models, peers

from pretrainjax.objectives.split import abstract_split

NAMES = list(models.SMALL)


def count(params):
  return sum(math.prod(x.shape) for x in jax.tree.leaves(params))


@pytest.mark.parametrize("name", [*models.MODELS, *NAMES])
def test_each_model_makes_an_objective_and_a_batch(name):
  model = (models.MODELS | models.SMALL)[name]
  _, params, _ = abstract_split(models.objective_of(model, dtype="bfloat16"))
  assert count(params) > 0
  if name in NAMES:
    batch = models.batch_of(model)
    assert all(np.isfinite(array).all() and array.size for array in batch.values())


def test_sizes_are_those_of_the_published_models():
  # MAE's code counts its two fixed tables of positions too, 197 places of 768 and of 512 numbers.
  mae = 111_907_840 - 197 * (768 + 512)
  expected = {"GPT-2 124M, rows of 1024": 124_439_808, "MAE ViT-B/16, 224": mae}
  for name, number in expected.items():
    _, params, _ = abstract_split(models.objective_of(models.MODELS[name], dtype="float32"))
    assert count(params) == number
  _, params, _ = abstract_split(models.objective_of(models.SWEEP, dtype="float32"))
  assert count(params) >= 300e6


def test_documents_are_packed_whole_into_few_rows():
  lengths = [5, 3, 4, 8, 1, 2]
  segments = models.pack(lengths, 8)
  found = [np.bincount(row)[1:].tolist() for row in segments]
  assert sorted(n for row in found for n in row) == sorted(lengths)
  assert len(segments) == 3  # 23 tokens, rows of 8
  assert all((np.diff(row[row > 0]) >= 0).all() for row in segments)


def test_a_packed_batch_has_the_documents_that_the_peer_pads():
  model = models.SMALL["small BERT, mixed lengths"]
  tokens = peers.tokens_of(model)
  assert tokens["ours"] == tokens["peer"] == sum(models.documents_of(model))
  (batch,) = peers.peer_batches(model)
  assert batch["attention_mask"].sum() == tokens["peer"]
  assert (batch["labels"][batch["attention_mask"] == 0] == peers.IGNORED).all()


def test_a_packed_peer_sees_its_own_document_and_nothing_after_it():
  model = models.SMALL["small GPT, packed"]
  (batch,) = peers.peer_batches(model)
  segments = models.batch_of(model)["segments"]
  mask = batch["attention_mask"][:, 0]
  rows, queries, keys = np.nonzero(mask)
  assert (keys <= queries).all()
  assert (segments[rows, queries] == segments[rows, keys]).all()
  firsts = np.diff(segments, axis=1, prepend=-1) != 0
  assert (batch["position_ids"][firsts] == 0).all()
  assert (np.diff(batch["position_ids"], axis=1)[~firsts[:, 1:]] == 1).all()


def test_unseen_pairs_are_what_a_mask_hides():
  """Twelve operations a pair, number of the width, and layer: four forward, eight backward."""
  for name in ("small GPT", "small GPT, packed", "small BERT, mixed lengths"):
    model = models.SMALL[name]
    segments = models.batch_of(model)["segments"]
    seen = segments[:, :, None] == segments[:, None, :]
    seen &= segments[:, :, None] > 0
    if model.kind == "gpt":
      seen &= np.tri(model.length, dtype=bool)
    expected = 12 * (seen.size - seen.sum()) * model.width * model.layers
    assert models.unseen_flops(model) == expected
  assert models.unseen_flops(models.SMALL["small BERT"]) == 0
  assert models.unseen_flops(models.SMALL["small MAE"]) == 0


def test_pairs_that_are_unseen_are_in_the_count_of_a_step():
  """Twice the length: the count grows by what is linear, and by 12 a pair."""
  import dataclasses

  from pretrainjax.objectives.split import split

  def flops(model):
    objective = models.objective_of(model, dtype="float32")
    from flax import nnx

    graphdef, params, extras = split(objective.init(rngs=nnx.Rngs(0)))

    def loss(params, batch):
      module = nnx.merge(graphdef, params, extras)
      return objective.loss(module, batch, rngs=nnx.Rngs(0), step=0)[0]

    return _product_flops(jax.grad(loss), params, models.batch_of(model))

  one = models.SMALL["small GPT"]
  two, four = (dataclasses.replace(one, length=one.length * n) for n in (2, 4))
  # f(T) = a T + 12 B T^2 D L: the second difference leaves the square alone.
  square = flops(four) - 2 * flops(two)
  expected = 12 * one.batch * one.width * one.layers * (four.length**2 - 2 * two.length**2)
  assert square == pytest.approx(expected, rel=0.02)


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_the_peer_is_the_same_model(name):
  import torch

  model = models.SMALL[name]
  peer = peers.peer_of(model, device="cpu")
  (batch,) = peers.peer_batches(model)
  loss = peer(**{key: torch.from_numpy(array) for key, array in batch.items()}).loss
  loss.backward()
  trained = [p for p in peer.parameters() if p.requires_grad]
  assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)
  _, params, _ = abstract_split(models.objective_of(model, dtype="float32"))
  assert sum(p.numel() for p in trained) == count(params)
