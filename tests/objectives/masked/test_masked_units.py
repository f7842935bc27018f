"""BEST-RQ and HuBERT: units, what is hidden, and the loss by NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sound_objectives
import tiny_objectives as tiny
from flax import nnx
from scipy.special import log_softmax

from pretrainjax.errors import UserError
from pretrainjax.models.layers.frames import Frames
from pretrainjax.models.layers.mfcc import mfcc
from pretrainjax.models.quantizers import perplexity
from pretrainjax.objectives.masked.masked_units import aligned, stacked
from pretrainjax.types import Sound

CODES = sound_objectives.CODES
best_rq, hubert = sound_objectives.best_rq, sound_objectives.hubert


def learnt(objective, batches):
  """A new module whose centroids were learnt."""
  (params, extras), graphdef = tiny.start(objective)
  module = nnx.merge(graphdef, params, extras)
  objective.learn_first(module, iter(batches), jax.random.key(0))
  return module


def test_the_loss_is_the_cross_entropy_of_hidden_tokens():
  objective, batch = best_rq(), sound_objectives.sounds()
  done, seen = tiny.run(objective, batch), {}

  def parts(module, key):
    rngs = nnx.Rngs(key)
    sound = module.encoder.inputs(batch)
    frames = module.encoder.features(sound)
    rows = objective.rows(module, sound, frames)
    seen["hidden"] = objective.hidden(rngs.mask(), rows.valid)
    noisy = objective._noisy(rngs.mask(), frames, seen["hidden"])
    tokens = module.encoder.encode(noisy).tokens
    scores = jnp.einsum("bnd,cvd->bncv", tokens, module.head.table[...])
    return scores, module.quantizer(rows.features), seen["hidden"] & rows.valid

  scores, units, counted = map(np.asarray, tiny.call(done, parts, tiny.KEY))
  chances = log_softmax(scores.astype(np.float64), axis=-1)
  losses = -np.take_along_axis(chances, units[..., None], axis=-1)[..., 0][counted]
  np.testing.assert_allclose(done.metrics["loss"], losses.mean(), rtol=1e-4)
  right = (scores.argmax(-1) == units)[counted]
  np.testing.assert_allclose(done.metrics["masked_accuracy"], right.mean(), atol=1e-6)
  assert 0 < counted.mean() < 1


def units_of(objective, batch):
  done = tiny.run(objective, batch)

  def found(module):
    sound = module.encoder.inputs(batch)
    rows = objective.rows(module, sound, module.encoder.features(sound))
    return module.quantizer(rows.features), rows.valid

  return tuple(map(np.asarray, tiny.call(done, found)))


def test_units_do_not_hang_on_padding_nor_on_the_batch():
  batch = sound_objectives.sounds()
  longer = {**batch, "audio": np.pad(batch["audio"], ((0, 0), (0, 3000)), constant_values=999)}
  alone = {name: array[1:2] for name, array in batch.items()}
  units, valid = units_of(best_rq(), batch)
  more, still = units_of(best_rq(), longer)
  one, _ = units_of(best_rq(), alone)
  length = valid.shape[1]
  np.testing.assert_array_equal(still.sum(1), valid.sum(1))
  np.testing.assert_array_equal(more[:, :length][valid], units[valid])
  np.testing.assert_array_equal(one[0][valid[1]], units[1][valid[1]])


@pytest.mark.parametrize("make", [best_rq, hubert])
def test_what_lies_behind_the_end_changes_nothing(make):
  batch = sound_objectives.sounds()
  behind = np.arange(batch["audio"].shape[1])[None] >= batch["num_samples"][:, None]
  changed = {**batch, "audio": np.where(behind, np.int16(7), batch["audio"])}
  first, second = (tiny.metrics_of(make(), one) for one in (batch, changed))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), first, second)


def test_hidden_frames_are_not_seen():
  """What stands in them changes neither tokens nor loss, but for the units themselves."""
  objective = best_rq()
  frames = Frames(jnp.ones((1, 16, 8)), jnp.ones((1, 16), bool))
  hidden = jnp.array([[False, True, False, False]])
  key = jax.random.key(0)
  first = objective._noisy(key, frames, hidden).features
  second = objective._noisy(key, frames._replace(features=frames.features * 5), hidden).features
  np.testing.assert_array_equal(first[:, 4:8], second[:, 4:8])
  assert abs(float(first[:, 4:8].std()) - objective.noise_std) < 0.05
  np.testing.assert_array_equal(first[:, :4], 1)


def test_hubert_learns_its_units_before_the_first_step():
  batches = [sound_objectives.sounds(seed=seed) for seed in (0, 1)]
  objective = hubert()
  module = learnt(objective, batches)
  rows = []
  for batch in batches:
    found = mfcc(Sound(batch["audio"], batch["num_samples"]))
    rows.append(np.asarray(found.features[:, ::2])[np.asarray(found.valid[:, ::2])])
  rows, centroids = np.concatenate(rows), np.asarray(module.quantizer.centroids[...])
  numbers = np.square(rows[:, None] - centroids[None]).sum(-1).argmin(1)
  for number in range(CODES):
    mine = rows[numbers == number]
    assert len(mine) and np.linalg.norm(mine.mean(0) - centroids[number]) < 60
  used = perplexity(jnp.asarray(numbers), jnp.ones(len(numbers)), num_codes=CODES)
  assert used > CODES / 2
  again = learnt(objective, batches)
  np.testing.assert_array_equal(again.quantizer.centroids[...], centroids)


@pytest.mark.parametrize("layer", [1, None])
def test_units_of_a_teacher_are_clusters_of_its_tokens(layer):
  teacher = {"units": "teacher", "teacher": sound_objectives.wav2vec2, "teacher_layer": layer}
  objective, batch = hubert(**teacher), sound_objectives.sounds()
  module = learnt(objective, [batch, batch])
  assert not jax.tree.leaves(nnx.state(module.teacher, nnx.Param))
  graphdef, state = nnx.split(module)

  @jax.jit
  def found(state):
    module = nnx.merge(graphdef, state)
    sound = module.encoder.inputs(batch)
    rows = objective.rows(module, sound, module.encoder.features(sound))
    return rows.features, module.teacher(sound).tokens, module.quantizer(rows.features)

  features, tokens, units = map(np.asarray, found(state))
  assert bool((features == tokens).all()) == (layer is None)
  assert len(np.unique(units)) > CODES / 2
  assert np.isfinite(tiny.metrics_of(objective, batch)["loss"])


@pytest.mark.parametrize("make", [best_rq, hubert])
def test_one_batch_is_learnt_by_heart(make):
  first, last = tiny.overfit(make(), sound_objectives.sounds(2), num_steps=80)
  assert last["loss"] < 0.35 * first["loss"] and last["masked_accuracy"] > 0.9


def test_all_that_is_trained_has_a_gradient():
  for objective in (best_rq(), best_rq(hide="vector"), hubert()):
    missing = tiny.without_gradient(tiny.run(objective, sound_objectives.sounds()).gradient)
    assert missing <= {"encoder.vector", "encoder.mask_vector"}


def test_rows_are_frames_side_by_side():
  frames = Frames(jnp.arange(14.0).reshape(1, 7, 2), jnp.arange(7)[None] < 5)
  found = stacked(frames, 3)
  np.testing.assert_array_equal(found.features[0], np.arange(12).reshape(2, 6))
  assert found.valid.tolist() == [[True, False]]
  assert aligned(found, 3).valid.tolist() == [[True, False, False]]
  assert aligned(found, 1).features.shape == (1, 1, 6)


def test_mistakes_are_told():
  with pytest.raises(UserError, match="objective.stack: found .* 5 units .* makes 12 tokens"):
    tiny.run(best_rq(stack=9), sound_objectives.sounds())
  with pytest.raises(ValueError, match="units='teacher'"):
    hubert(units="teacher")
  with pytest.raises(UserError, match="head.num_codes"):
    best_rq(num_codes=5).init(rngs=nnx.Rngs(0))
  teacher = {"units": "teacher", "teacher": sound_objectives.wav2vec2, "teacher_layer": 3}
  with pytest.raises(ValueError, match="found layer 3, expected 1 to 2"):
    hubert(**teacher).init(rngs=nnx.Rngs(0))
