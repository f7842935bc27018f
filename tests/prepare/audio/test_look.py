"""Limits of what is kept: lengths, silence, clipping."""

import numpy as np
import pytest

from pretrainjax.prepare.audio.look import Look, is_clipped


def noise(samples: int, scale: float = 1000) -> np.ndarray:
  return (scale * np.random.default_rng(0).normal(size=samples)).astype(np.int16)


def test_silence_at_both_ends_goes_and_a_margin_stays():
  sound = np.concatenate([noise(8000, 2), noise(3200), noise(1600, 2), noise(3200), noise(9600, 2)])
  look = Look(trim_silence=True, margin_seconds=0.05)
  found = look.trimmed(sound)
  assert np.array_equal(found, sound[8000 - 800 : 16_000 + 800])  # the pause within stays
  assert np.array_equal(Look().trimmed(sound), sound)


def test_what_is_loud_to_its_ends_stays_whole():
  look = Look(trim_silence=True, margin_seconds=0.0)
  for size in (3, 319, 320, 3333):
    assert len(look.trimmed(noise(size))) == size
  assert len(look.trimmed(np.zeros(3200, np.int16))) == 3200


def test_reasons():
  look = Look(min_seconds=0.1, max_clipped=0.2)
  assert look.why_not(noise(1599)) == "too short"
  assert look.why_not(np.full(1600, 7, np.int16)) == "constant"
  clipped = noise(1600)
  clipped[: 1600 // 4] = 32_767
  assert look.why_not(clipped) == "clipped" and is_clipped(clipped)
  clipped[: 1600 // 6] = 0
  assert look.why_not(clipped) is None and is_clipped(clipped)
  assert look.why_not(noise(1600)) is None and not is_clipped(noise(1600))
  assert Look(min_seconds=0.0).why_not(noise(0)) == "too short"


def test_limits_that_cannot_be():
  with pytest.raises(ValueError, match="max_seconds=0.1: expected in .min_seconds=1"):
    Look(min_seconds=1.0, max_seconds=0.1)
