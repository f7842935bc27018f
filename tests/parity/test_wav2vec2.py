"""What the round trips do not see: hidden frames, padding with their mask, normalised samples."""

import jax.numpy as jnp
import numpy as np
import pytest
import torchvision_operators  # noqa: F401
from round_trips import randomise
from transformers_models import close, saved

from pretrainjax.checkpoint.encoder import load
from pretrainjax.models.layers.waveform import normalised_audio
from pretrainjax.types import Sound

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
SIZES = dict(
  hidden_size=12,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=20,
  conv_dim=[4, 6],
  conv_kernel=[10, 3],
  conv_stride=[5, 2],
  num_conv_pos_embeddings=6,
  num_conv_pos_embedding_groups=2,
  feat_extract_norm="layer",
  layerdrop=0.0,
)
LENGTHS = np.array([803, 411, 96], np.int32)
AUDIO = np.random.default_rng(0).integers(-9000, 9000, (3, 803)).astype(np.int16)


def test_real_samples_are_normalised_as_their_extractor_does():
  extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True)
  rows = [row[:n] / np.float32(32768) for row, n in zip(AUDIO, LENGTHS, strict=True)]
  theirs = extractor(rows, sampling_rate=16_000, padding=True, return_tensors="np")
  close(normalised_audio(Sound(AUDIO, LENGTHS)).audio, theirs["input_values"], "samples")


@pytest.mark.parametrize("stable", [False, True])
def test_a_padded_batch_with_their_mask_and_hidden_frames(stable, tmp_path):
  torch.manual_seed(0)
  config = transformers.Wav2Vec2Config(**SIZES, do_stable_layer_norm=stable)
  model = randomise(transformers.Wav2Vec2Model(config).eval())
  saved(model, tmp_path)
  encoder = load(f"hf:{tmp_path}").encoder
  sound = Sound(AUDIO, LENGTHS)
  valid = np.asarray(encoder.valid(sound))
  masked = (np.arange(valid.shape[1])[None] % 5 < 2) & valid
  present = np.arange(AUDIO.shape[1])[None] < LENGTHS[:, None]
  samples = torch.from_numpy(np.array(normalised_audio(sound).audio))
  with torch.no_grad():
    found = model(
      samples,
      attention_mask=torch.from_numpy(present).long(),
      mask_time_indices=torch.from_numpy(np.array(masked)),
    )
  close(
    encoder(sound, masked=jnp.asarray(masked)).tokens[valid],
    found.last_hidden_state.numpy()[valid],
    "frames",
  )
  features = encoder.features(sound).features
  close(features[valid], found.extract_features.numpy()[valid], "features")
