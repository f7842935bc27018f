"""Spectrograms beside the feature extractors of transformers."""

import numpy as np
import pytest
from transformers_models import close

from pretrainjax.models.layers.log_mel import kaldi_log_mel, whisper_log_mel
from pretrainjax.types import Sound

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.parity
RNG = np.random.default_rng(0)
# Of odd lengths: noise, a tone that fades, near silence.
ROWS = [
  RNG.normal(size=7001).astype(np.float32) * 0.1,
  (np.sin(np.arange(16401) / 7) * np.exp(-np.arange(16401) / 4000)).astype(np.float32),
  RNG.normal(size=4813).astype(np.float32) * 1e-4,
]
SOUND = Sound(
  np.stack([np.pad(row, (0, 16401 - len(row))) for row in ROWS]), np.array([*map(len, ROWS)])
)


@pytest.mark.parametrize("num_mels", [80, 128])
def test_that_of_whisper(num_mels):
  theirs = transformers.WhisperFeatureExtractor(feature_size=num_mels, chunk_length=2)
  expected = theirs(ROWS, sampling_rate=16000, return_tensors="np")["input_features"]
  found = whisper_log_mel(num_mels, length=200)(SOUND).features
  close(found, expected.transpose(0, 2, 1), "whisper")


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_that_of_ast():
  theirs = transformers.ASTFeatureExtractor(max_length=90)
  expected = theirs(ROWS, sampling_rate=16000, return_tensors="np")["input_values"]
  found = kaldi_log_mel(length=90, mean=theirs.mean, std=2 * theirs.std)(SOUND).features
  close(found, expected, "ast")
