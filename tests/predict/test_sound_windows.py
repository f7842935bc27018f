import numpy as np
import pytest
from fake_sounds import HOP, TinySound, pattern, said
from flax import nnx

from pretrainjax.models.heads import Head
from pretrainjax.objectives.base import Towers
from pretrainjax.predict import sound_windows
from pretrainjax.predict.audio_inputs import RATE
from pretrainjax.predict.sound_windows import Frames, Windows, frames_of, joined

CLASSES = 9


@pytest.fixture(scope="module")
def module():
  head = Head(in_dim=16, num_classes=CLASSES, init_std=2.0, rngs=nnx.Rngs(1))
  return Towers(encoder=TinySound(rngs=nnx.Rngs(0)), head=head)


def whole(module, samples):
  inputs = (samples[None, : len(samples) // HOP * HOP], np.array([len(samples)], np.int32))
  logits = np.asarray(module.head(module.encoder(inputs).tokens))[0]
  return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def windows_of(frames, *, overlap):
  """Windows in frames, which fakes know no edges of."""
  return Windows(seconds=frames * HOP / RATE, overlap=overlap * HOP / RATE, batch_size=3)


def test_windows_cover_a_sound():
  windows = Windows(seconds=1.0, overlap=0.25)
  for count in (1, 4000, 16_000, 16_001, 28_000, 100_000):
    cut = windows.cut(count)
    assert cut[0].start == 0 and cut[-1].stop == count
    for left, right in zip(cut, cut[1:], strict=False):
      assert left.stop - right.start == 4000
    assert len(cut) == 1 or cut[-1].stop - cut[-1].start > 4000


def test_windows_joined_are_the_whole(module, monkeypatch):
  """An encoder that knows no neighbours says the same of a frame in whatever window."""
  monkeypatch.setattr(sound_windows, "_SHORTEST", 8 * HOP)
  sounds = [said([5, 6, 7, 8] * 9), said([6, 5]), said([8] * 20)[: 37 * HOP + 5]]
  found = frames_of(module, iter(sounds), windows=windows_of(16, overlap=6), blank_id=0)
  count = 0
  for samples, parts in zip(sounds, found, strict=True):
    parts = list(parts)
    begins = np.concatenate([part.begins for part in parts])
    np.testing.assert_allclose(begins, np.arange(len(samples) // HOP) * HOP / RATE, atol=2e-4)
    together = np.concatenate([part.log_probs for part in parts])
    np.testing.assert_allclose(together, whole(module, samples), rtol=1e-4, atol=1e-4)
    count += len(parts)
  assert count > 8


def test_seams_lie_in_silence():
  """Of what two windows share, a seam takes the middle half, and there the pause."""
  log_probs = np.full((40, 2), -9.0, np.float32)
  log_probs[:, 1] = -1e-4
  log_probs[22:25] = (-1e-4, -9.0)  # silence
  left = Frames(log_probs, np.arange(40) / 10, 0.1)
  right = Frames(log_probs[20:], np.arange(20, 60)[:20] / 10, 0.1)
  right = right._replace(begins=right.begins - 0.5)
  log_probs = right.log_probs.copy()
  log_probs[:] = (-9.0, -1e-4)
  log_probs[7:9] = (-1e-4, -9.0)
  right = right._replace(log_probs=log_probs)
  first, second = joined([left, right], blank_id=0)
  assert first.begins[-1] == pytest.approx(2.2, abs=0.11)
  assert second.begins[0] == pytest.approx(first.begins[-1] + 0.1)


def test_empty_windows_are_joined_too():
  some = Frames(np.zeros((4, 2), np.float32), np.arange(4.0), 1.0)
  none = Frames(np.zeros((0, 2), np.float32), np.zeros(0), 1.0)
  for parts in ([none, some], [some, none], [none, none, some], [some]):
    found = np.concatenate([part.begins for part in joined(parts, blank_id=0)])
    assert found.tolist() == [0, 1, 2, 3]
  assert list(joined([], blank_id=0)) == []


def test_a_network_that_has_diverged_is_told():
  head = Head(in_dim=16, num_classes=CLASSES, rngs=nnx.Rngs(0))
  head.classifier.bias[...] = np.full(CLASSES, np.nan, np.float32)
  broken = Towers(encoder=TinySound(rngs=nnx.Rngs(0)), head=head)
  found = frames_of(broken, [pattern(5)], windows=windows_of(16, overlap=0), blank_id=0)
  with pytest.raises(ValueError, match="not finite"):
    list(next(found))
