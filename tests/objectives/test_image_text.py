"""Two towers as objectives on images and texts share them, and those that others trained."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.losses.contrastive import compare_pairs
from pretrainjax.models.heads import Projector
from pretrainjax.models.text_tower import TextTower
from pretrainjax.models.two_towers import Similarity
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.image_text import ImageTextObjective, logits_of
from pretrainjax.objectives.imported import ImportedTowers
from pretrainjax.objectives.split import split

SIZES = {"num_layers": 1, "num_heads": 2, "mlp_dim": 8}
LINEAR = {"num_layers": 1, "batch_norm": False, "use_bias": False, "out_dim": 5}
NETWORKS = {
  "image": functools.partial(ViT, image_size=4, patch_size=2, embed_dim=8, **SIZES),
  "text": functools.partial(TextTower, vocab_size=7, max_length=3, embed_dim=6, end_id=6, **SIZES),
  "similarity": Similarity,
  "image_projector": functools.partial(Projector, in_dim=8, **LINEAR),
  "text_projector": functools.partial(Projector, in_dim=6, **LINEAR),
}
RANDOM = np.random.default_rng(0)
BATCH = {
  "image": RANDOM.integers(0, 256, (6, 4, 4, 3), np.uint8),
  "tokens": np.array([[1, 2, 6], [3, 6, 0], [6, 0, 0], [4, 5, 6], [5, 6, 0], [2, 2, 6]]),
  "segments": np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1]]),
}


@dataclasses.dataclass(frozen=True)
class Pairs(ImageTextObjective):
  """A loss is all that an objective has to add."""

  def compare(self, module, found):
    temperature = jnp.exp(-module.similarity.log_scale[...])
    compared = compare_pairs(found["image"], found["text"], temperature=temperature)
    loss = jnp.mean(compared.loss)
    return loss, {"loss": loss}


def test_a_loss_is_all_that_an_objective_adds():
  objective = Pairs(**NETWORKS)
  graphdef, params, extras = split(objective.init(rngs=nnx.Rngs(0)))
  optimizer = optax.adam(1e-2)

  @jax.jit
  def step(params, state):
    def loss(params):
      module = nnx.merge(graphdef, params, extras)
      return objective.loss(module, BATCH, rngs=nnx.Rngs(1), step=0)[0]

    value, gradients = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(params, updates), state, value, gradients

  state, values = optimizer.init(params), []
  for _ in range(25):
    params, state, value, gradients = step(params, state)
    values.append(float(value))
  assert values[-1] < 0.5 * values[0]
  used = jax.tree.map(lambda x: bool(jnp.any(x != 0)), gradients)
  assert used["similarity"]["log_scale"] and used["text_projector"]["linear0"]["kernel"]


def test_its_networks_are_parts_by_name():
  objective = ImportedTowers(**NETWORKS)
  module = objective.init(rngs=nnx.Rngs(0))
  assert set(objective.parts(module)) == set(NETWORKS)
  assert objective.encoder(module) is module.image
  plain = NETWORKS | {"image_projector": None}
  plain["text_projector"] = functools.partial(Projector, in_dim=6, **LINEAR | {"out_dim": 8})
  objective = ImportedTowers(**plain)
  assert "image_projector" not in objective.parts(objective.init(rngs=nnx.Rngs(0)))


def test_logits_do_not_depend_on_lengths_of_features():
  module = ImportedTowers(**NETWORKS).init(rngs=nnx.Rngs(0))
  images, texts = jnp.asarray(RANDOM.normal(size=(2, 3, 5)), jnp.float32)
  logits = logits_of(module, images=images, texts=texts)
  np.testing.assert_allclose(logits_of(module, images=3 * images, texts=texts), logits, rtol=1e-5)
  same = logits_of(module, images=images, texts=images)
  np.testing.assert_allclose(jnp.diag(same), np.exp(2.6592), rtol=1e-5)


def test_what_others_trained_trains_nothing():
  objective = ImportedTowers(**NETWORKS)
  module = objective.init(rngs=nnx.Rngs(0))
  with pytest.raises(UserError, match="found ImportedTowers, which trains nothing"):
    objective.loss(module, BATCH, rngs=nnx.Rngs(0), step=0)


def test_data_of_another_tokenizer_is_refused():
  def data(**ids):
    tokenizer = types.SimpleNamespace(vocab_size=7, mask_id=None, **ids)
    return types.SimpleNamespace(tokenizer=tokenizer)

  ids = {"pad_id": 0, "unknown_id": 1, "begin_id": 2}
  objective = Pairs(**NETWORKS)
  objective.check(data(**ids, end_id=6))
  with pytest.raises(UserError, match="config.objective.text.end_id: found 6, expected 5"):
    objective.check(data(**ids, end_id=5))
  small = NETWORKS | {"text": functools.partial(NETWORKS["text"], vocab_size=6)}
  with pytest.raises(UserError, match="config.objective.text.vocab_size: found 6"):
    Pairs(**small).check(data(**ids, end_id=6))
