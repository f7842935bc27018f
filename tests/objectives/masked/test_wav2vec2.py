"""wav2vec 2.0's loss and its parts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sound_objectives
import tiny_objectives as tiny
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.losses.in_utterance import distractors, in_utterance_contrast
from pretrainjax.masking import random_spans
from pretrainjax.models.product_quantizer import ProductQuantizer
from pretrainjax.objectives.masked.wav2vec2 import Wav2Vec2Pretraining, unused_share

BOOKS, wav2vec2 = sound_objectives.BOOKS, sound_objectives.pretraining


def test_the_loss_is_put_together_as_the_paper_has_it():
  objective, batch = wav2vec2(), sound_objectives.sounds()
  done = tiny.run(objective, batch)

  def parts(module, key):
    rngs, encoder, quantizer = nnx.Rngs(key), module.encoder, module.quantizer
    frames = encoder.features(encoder.inputs(batch))
    spans = {"start_rate": 0.2, "span_length": 2}
    hidden = random_spans(rngs.mask(), frames.valid, **spans)
    tokens = encoder.encode(frames, masked=hidden, deterministic=True).tokens
    found = quantizer(frames.features, temperature=2.0, rngs=rngs)
    places = distractors(rngs.sample(), hidden, count=10)
    compared = quantizer.compared(tokens)
    scores = in_utterance_contrast(compared, found.codes, found.numbers, places, temperature=0.1)
    raw = encoder.convolved(encoder.inputs(batch))
    return scores.loss, hidden, found.probabilities, raw

  losses, hidden, probabilities, raw = tiny.call(done, parts, tiny.KEY)
  hidden = np.asarray(hidden)
  contrast = np.asarray(losses)[hidden].mean()
  share = np.asarray(probabilities)[hidden].mean(0)
  used = np.exp(-(share * np.log(share)).sum(-1)).sum()
  diversity = (12 - used) / 12
  penalty = np.square(np.asarray(raw.features))[np.asarray(raw.valid)].mean()
  np.testing.assert_allclose(done.metrics["contrastive_loss"], contrast, rtol=1e-4)
  np.testing.assert_allclose(done.metrics["diversity_loss"], diversity, rtol=1e-4)
  np.testing.assert_allclose(done.metrics["code_perplexity"], used / 2, rtol=1e-4)
  expected = contrast + 0.1 * diversity + 10 * penalty
  np.testing.assert_allclose(done.metrics["loss"], expected, rtol=1e-4)


def test_a_codebook_is_used_as_its_entropy_says():
  even = jnp.full((1, 4, 2, 5), 0.2)
  one = jnp.zeros((1, 4, 2, 5)).at[..., 3].set(1.0)
  hidden = jnp.ones((1, 4), bool)
  np.testing.assert_allclose(unused_share(even, hidden), (0, 5), atol=1e-5)
  np.testing.assert_allclose(unused_share(one, hidden), (0.8, 1), atol=1e-5)


@pytest.mark.parametrize(("step", "expected"), [(0, 2.0), (100_000, 1.213), (10**6, 0.5)])
def test_the_gumbel_softmax_cools_down(step, expected):
  np.testing.assert_allclose(wav2vec2().gumbel_temperature(step), expected, rtol=1e-3)


def test_the_convolutions_get_a_part_of_the_gradient():
  batch = sound_objectives.sounds()
  whole, part = (
    tiny.run(wav2vec2(feature_gradient=factor), batch).gradient["encoder"] for factor in (1.0, 0.1)
  )
  paired = zip(*map(jax.tree.leaves, (whole["waveform"], part["waveform"])), strict=True)
  for a, b in paired:
    np.testing.assert_allclose(b, 0.1 * a, rtol=1e-3, atol=1e-6)
  np.testing.assert_allclose(part["mask_vector"], whole["mask_vector"], rtol=1e-4, atol=1e-7)


def test_what_lies_behind_the_end_changes_nothing():
  batch = sound_objectives.sounds()
  behind = np.arange(batch["audio"].shape[1])[None] >= batch["num_samples"][:, None]
  changed = {**batch, "audio": np.where(behind, np.int16(7), batch["audio"])}
  first, second = (tiny.metrics_of(wav2vec2(), one) for one in (batch, changed))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), first, second)


def test_one_batch_is_learnt_by_heart():
  quick = {"gumbel_start": 0.5, "feature_gradient": 1.0, "num_distractors": 20}
  first, last = tiny.overfit(wav2vec2(**quick), sound_objectives.sounds(2), num_steps=80)
  assert last["contrastive_loss"] < 0.6 * first["contrastive_loss"]
  assert last["contrastive_accuracy"] > first["contrastive_accuracy"] + 0.2


def test_all_that_is_trained_has_a_gradient():
  assert tiny.without_gradient(tiny.run(wav2vec2(), sound_objectives.sounds()).gradient) == set()


def test_networks_that_do_not_fit_are_told():
  books = functools.partial(ProductQuantizer, in_dim=9, embed_dim=16, **BOOKS)
  objective = Wav2Vec2Pretraining(backbone=sound_objectives.wav2vec2, quantizer=books)
  with pytest.raises(UserError, match="objective.quantizer.in_dim: found 9, expected 8"):
    objective.init(rngs=nnx.Rngs(0))
