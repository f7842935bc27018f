import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.models.layers.log_mel import (
  LogMel,
  from_mel,
  kaldi_log_mel,
  mel_filters,
  speech_log_mel,
  to_mel,
  whisper_log_mel,
  window_table,
)
from pretrainjax.types import Sound

AUDIO = np.random.default_rng(0).uniform(-0.4, 0.4, 4000).astype(np.float32)
KALDI = kaldi_log_mel(32, length=30, mean=-4.3, std=9.1)
ALL = {"speech": speech_log_mel(24), "whisper": whisper_log_mel(length=40), "kaldi": KALDI}


def by_hand(log_mel: LogMel, audio: np.ndarray) -> np.ndarray:
  """Frame by frame in float64, the transform a sum of cosines and sines."""
  size, hop, fft = log_mel.window_length, log_mel.hop_length, log_mel.fft_length
  audio = audio.astype(np.float64)
  if log_mel.centred:
    audio = np.pad(audio, (0, log_mel.length * hop - len(audio)))
    audio = np.pad(audio, fft // 2, mode="reflect")
  count = (len(audio) - size) // hop + 1
  count = min(count, log_mel.length) if log_mel.length else count
  angles = 2 * np.pi * np.outer(np.arange(size), np.arange(fft // 2 + 1)) / fft
  rows = []
  for t in range(count):
    frame = audio[t * hop : t * hop + size]
    if log_mel.remove_offset:
      frame = frame - frame.mean()
    before = np.concatenate([frame[:1], frame[:-1]])
    frame = frame - log_mel.preemphasis * before
    frame = frame * window_table(log_mel.window, size)
    rows.append((frame @ np.cos(angles)) ** 2 + (frame @ np.sin(angles)) ** 2)
  energy = np.maximum(np.stack(rows) @ log_mel.filters(), log_mel.floor)
  return np.log(energy) if log_mel.logarithm == "ln" else np.log10(energy)


def test_our_own_is_normalised_by_utterance():
  log_mel = ALL["speech"]
  values = by_hand(log_mel, AUDIO)
  expected = (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-5)
  found = log_mel(Sound(AUDIO[None], np.array([4000])))
  assert found.valid.shape == (1, 23) and found.valid.all()
  np.testing.assert_allclose(found.features[0], expected, atol=1e-4)


def test_that_of_whisper():
  values = by_hand(ALL["whisper"], AUDIO)
  expected = (np.maximum(values, values.max() - 8) + 4) / 4
  found = ALL["whisper"](Sound(AUDIO[None], np.array([4000])))
  assert found.features.shape == (1, 40, 80) and found.valid.sum() == 25
  np.testing.assert_allclose(found.features[0], expected, atol=1e-4)


def test_that_of_kaldi():
  values = np.pad(by_hand(KALDI, AUDIO), ((0, 7), (0, 0)))
  found = KALDI(Sound(AUDIO[None], np.array([4000])))
  assert found.features.shape == (1, 30, 32) and found.valid.sum() == 23
  np.testing.assert_allclose(found.features[0], (values + 4.3) / 9.1, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_padding_changes_no_real_frame(name):
  rng = np.random.default_rng(1)
  audio = np.stack([np.resize(AUDIO, 5000), rng.uniform(-1, 1, 5000).astype(np.float32)])
  both = jax.jit(ALL[name])(Sound(audio, np.array([5000, 3010])))
  alone = ALL[name](Sound(audio[1:, :3010], np.array([3010])))
  count = int(alone.valid.sum())
  assert both.valid[1].sum() == count and both.valid[0].sum() > count
  np.testing.assert_allclose(both.features[1, :count], alone.features[0, :count], atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("length, count", [(0, 0), (1, 0), (399, 0), (400, 1), (6500, 39)])
def test_short_long_and_silent_rows_have_numbers(name, length, count):
  found = ALL[name](Sound(np.zeros((2, 6500), np.int16), np.array([length, 1])))
  assert np.isfinite(found.features).all()
  wanted = {"speech": count, "kaldi": min(count, 30), "whisper": min(-(-length // 160), 40)}
  assert found.valid[0].sum() == wanted[name]


def test_an_array_shorter_than_a_frame_is_padded():
  assert ALL["speech"](Sound(AUDIO[None, :100], np.array([100]))).features.shape == (1, 1, 24)


def test_samples_of_16_bits_are_scaled():
  whole = np.round(AUDIO * 32768).astype(np.int16)
  found = KALDI(Sound(whole[None], np.array([4000])))
  same = KALDI(Sound(whole[None].astype(np.float32) / 32768, np.array([4000])))
  np.testing.assert_array_equal(found.features, same.features)


def test_gradients_are_numbers_where_there_is_silence():
  def total(audio):
    return ALL["speech"](Sound(audio, jnp.array([2000]))).features.sum()

  assert np.isfinite(jax.grad(total)(jnp.zeros((1, 2000)))).all()


@pytest.mark.parametrize("scale", ["htk", "slaney", "kaldi"])
def test_scales_go_back(scale):
  hertz = np.array([0.0, 50.0, 999.0, 1000.0, 4321.0])
  np.testing.assert_allclose(from_mel(to_mel(hertz, scale), scale), hertz, atol=1e-8)


def test_bands_of_slaney_have_equal_areas_and_those_of_htk_equal_heights():
  sizes = {"num_mels": 10, "num_bins": 4001, "sample_rate": 16000, "lowest": 0.0, "highest": 8e3}
  areas = mel_filters(**sizes, scale="slaney").sum(0) * 2
  np.testing.assert_allclose(areas, 1.0, rtol=0.01)
  np.testing.assert_allclose(mel_filters(**sizes, scale="htk").max(0), 1.0, atol=0.01)


@pytest.mark.parametrize(
  "wrong, said",
  [
    ({"fft_length": 256}, "fft_length=256: expected at least window_length=400"),
    ({"highest": 9000.0}, "highest=9000.0: expected above lowest=20.0"),
    ({"centred": True}, "length=None: expected a number of frames"),
    ({"num_mels": 0}, "num_mels=0: expected at least 1"),
  ],
)
def test_what_does_not_fit_is_refused(wrong, said):
  with pytest.raises(ValueError, match=said):
    LogMel(**wrong)
