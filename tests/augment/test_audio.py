"""Masks, noise, shifts and speeds: against NumPy, and statistics against the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.augment import audio
from pretrainjax.augment.audio import POLICIES, Policy

KEY = jax.random.key(0)
# One program each, as inside of a step.
spec_augment = jax.jit(audio.spec_augment, static_argnames=("policy", "fill"))
add_noise = jax.jit(audio.add_noise, static_argnames=("snr", "probability"))
shift = jax.jit(audio.shift, static_argnames="most")
change_speed = jax.jit(audio.change_speed, static_argnames="factors")


def masked(policy: Policy, *, count: int, frames: int, bands: int, lengths=None) -> np.ndarray:
  """Which places are hidden, "B T F"."""
  features = jnp.ones((count, frames, bands))
  lengths = jnp.full(count, frames) if lengths is None else jnp.asarray(lengths)
  return np.asarray(spec_augment(features, lengths, policy=policy, key=KEY, fill="zero")) == 0


def test_widths_and_places_are_those_of_the_paper():
  """Width uniform in {0..27}, start uniform in {0..80-f-1}; of time {0..100} and the length."""
  frames, bands, count = 300, 80, 4000
  hidden = masked(Policy(1, 27, 0, 0, 1.0), count=count, frames=1, bands=bands)[:, 0]
  widths = hidden.sum(axis=1)
  assert (widths.min(), widths.max()) == (0, 27)
  assert abs(widths.mean() - 13.5) < 4 * np.sqrt((28**2 - 1) / 12 / count)
  assert all((np.diff(np.flatnonzero(row)) == 1).all() for row in hidden)  # one run
  some = hidden[widths == 10]
  starts = some.argmax(axis=1)
  assert starts.max() < bands - 10 and abs(starts.mean() - (bands - 11) / 2) < 6
  time = masked(Policy(0, 0, 1, 100, 1.0), count=count, frames=frames, bands=1)[:, :, 0]
  assert (time.sum(axis=1).min(), time.sum(axis=1).max()) == (0, 100)
  assert abs(time.sum(axis=1).mean() - 50) < 4 * np.sqrt((101**2 - 1) / 12 / count)


def test_double_masks_hide_whole_bands_and_frames():
  hidden = masked(POLICIES["LD"], count=50, frames=300, bands=80)
  for one in hidden:
    bands, frames = one.all(axis=0), one.all(axis=1)
    assert np.array_equal(one, bands[None] | frames[:, None])
    assert bands.sum() <= 54 and frames.sum() <= 200
  assert not masked(POLICIES["none"], count=2, frames=5, bands=4).any()


def test_masks_lie_in_what_is_no_padding_and_are_of_its_share():
  lengths = np.array([0, 1, 20, 50] * 100)
  policy = Policy(0, 0, 1, 100, 0.2)
  hidden = masked(policy, count=400, frames=60, bands=2, lengths=lengths)[:, :, 0]
  assert not any(row[n:].any() for row, n in zip(hidden, lengths, strict=True))
  widths = hidden.sum(axis=1)
  assert [widths[lengths == n].max() for n in (0, 1, 20, 50)] == [0, 0, 4, 10]


def test_the_mean_of_an_example_fills_its_masks():
  rng = np.random.default_rng(0)
  features = jnp.asarray(rng.normal(size=(3, 30, 8)), jnp.float32)
  lengths = jnp.array([30, 12, 20])
  found = np.asarray(spec_augment(features, lengths, policy=Policy(1, 4, 1, 9, 1.0), key=KEY))
  for before, after, n in zip(np.asarray(features), found, lengths, strict=True):
    changed = before != after
    assert changed.any() and not changed[n:].any()
    np.testing.assert_allclose(after[changed], before[:n].mean(), rtol=1e-5)


def waves(*lengths: int, size: int = 400) -> tuple[jax.Array, jax.Array]:
  rng = np.random.default_rng(1)
  found = (3000 * rng.normal(size=(len(lengths), size))).astype(np.int16)
  for row, n in zip(found, lengths, strict=True):
    row[n:] = 0
  return jnp.asarray(found), jnp.asarray(lengths)


def test_noise_is_as_loud_as_asked_and_padding_silent():
  sound, counts = waves(*[4000, 2000] * 20, size=4000)
  found = np.asarray(add_noise(sound, counts, snr=(5.0, 20.0), key=KEY))
  clean = np.asarray(sound) / 32768
  ratios = []
  for before, after, n in zip(clean, found, counts, strict=True):
    assert not after[n:].any()
    noise = (after - before)[:n]
    ratios.append(10 * np.log10((before[:n] ** 2).mean() / (noise**2).mean()))
  assert 4.5 < min(ratios) < 8 and 17 < max(ratios) < 20.5
  (fixed,) = np.asarray(add_noise(sound[:1], counts[:1], snr=(10.0, 10.0), key=KEY))
  noise = fixed - clean[0]
  assert abs(10 * np.log10((clean[0] ** 2).mean() / (noise**2).mean()) - 10) < 0.5


def test_some_examples_get_no_noise_and_silence_none():
  sound, counts = waves(*[100] * 200)
  found = np.asarray(add_noise(sound, counts, snr=(0.0, 0.0), probability=0.3, key=KEY))
  share = (found != np.asarray(sound) / 32768).any(axis=1).mean()
  assert 0.2 < share < 0.4
  silent = add_noise(jnp.zeros((2, 50)), jnp.array([50, 0]), snr=(0.0, 0.0), key=KEY)
  assert np.isfinite(silent).all() and not np.asarray(silent).any()


def test_a_shift_moves_and_leaves_silence():
  sound, counts = waves(*[300] * 60)
  found = np.asarray(shift(sound, counts, most=7, key=KEY))
  assert found.dtype == np.int16
  offsets = set()
  for before, after in zip(np.asarray(sound), found, strict=True):
    expected = {}
    for offset in range(-7, 8):
      moved = np.roll(before[:300], offset)
      moved[: max(offset, 0)] = 0
      moved[300 + min(offset, 0) :] = 0
      expected[offset] = moved
    (offset,) = [k for k, moved in expected.items() if np.array_equal(after[:300], moved)]
    offsets.add(offset)
    assert not after[300:].any()
  assert len(offsets) > 10 and {min(offsets), max(offsets)} <= set(range(-7, 8))
  assert np.array_equal(shift(sound, counts, most=0, key=KEY), sound)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_speeds_are_those_of_numpy(factor):
  sound, counts = waves(300, 380, 0)
  found = change_speed(sound, counts, factors=(factor,), key=KEY)
  rows = (np.asarray(sound) / 32768, found.waves, counts, found.num_samples)
  for before, after, n, m in zip(*rows, strict=True):
    assert m == min(round(int(n) / factor), 400)
    if n:
      times = np.arange(int(m)) * np.float32(factor)
      expected = np.interp(times, np.arange(int(n)), before[: int(n)])
      np.testing.assert_allclose(after[: int(m)], expected, atol=2e-5)
    assert not np.asarray(after)[int(m) :].any()


def test_an_example_draws_the_same_in_a_batch_of_any_size():
  sound, counts = waves(*[300] * 6)
  for one in (
    lambda s, n: add_noise(s, n, snr=(0.0, 30.0), key=KEY),
    lambda s, n: shift(s, n, most=20, key=KEY),
    lambda s, n: change_speed(s, n, key=KEY).waves,
  ):
    whole, part = np.asarray(one(sound, counts)), np.asarray(one(sound[:3], counts[:3]))
    np.testing.assert_allclose(whole[:3], part, atol=1e-7)
