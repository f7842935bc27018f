"""Cepstra against SciPy's cosine transform, and their changes against plain loops."""

import jax.numpy as jnp
import numpy as np
import scipy.fft
import sound_objectives

from pretrainjax.models.layers.log_mel import LogMel
from pretrainjax.models.layers.mfcc import NUM_COEFFICIENTS, WIDTH, mfcc
from pretrainjax.types import Sound


def sound_of(batch):
  return Sound(jnp.asarray(batch["audio"]), jnp.asarray(batch["num_samples"]))


def slope(x):
  """By a loop over frames, ends repeated."""
  found = np.zeros_like(x)
  for t in range(len(x)):
    at = lambda place: x[min(max(place, 0), len(x) - 1)]  # noqa: E731
    found[t] = sum(n * (at(t + n) - at(t - n)) for n in (1, 2)) / 10
  return found


def test_coefficients_and_their_changes():
  sound = sound_of(sound_objectives.sounds(3))
  bands = {"num_mels": 23, "window": "povey", "scale": "kaldi", "floor": 1e-10}
  mel = LogMel(**bands, preemphasis=0.97, remove_offset=True)(sound)
  found = mfcc(sound)
  assert found.features.shape[2] == WIDTH == 39
  for row in range(3):
    real = np.asarray(mel.features[row][np.asarray(mel.valid[row])], np.float64)
    cepstra = scipy.fft.dct(real, norm="ortho")[:, :NUM_COEFFICIENTS]
    cepstra *= 1 + 11 * np.sin(np.pi * np.arange(NUM_COEFFICIENTS) / 22)
    changes = slope(cepstra)
    expected = np.concatenate([cepstra, changes, slope(changes)], axis=1)
    mine = np.asarray(found.features[row])[np.asarray(found.valid[row])]
    np.testing.assert_allclose(mine, expected, rtol=1e-3, atol=2e-3)


def test_a_longer_row_has_the_same_coefficients():
  batch = sound_objectives.sounds(2)
  longer = {**batch, "audio": np.pad(batch["audio"], ((0, 0), (0, 999)), constant_values=5)}
  short, long = mfcc(sound_of(batch)), mfcc(sound_of(longer))
  length = short.valid.shape[1]
  kept = np.asarray(short.valid)
  np.testing.assert_array_equal(long.valid.sum(1), kept.sum(1))
  np.testing.assert_allclose(
    np.asarray(long.features)[:, :length][kept], np.asarray(short.features)[kept], atol=1e-4
  )
