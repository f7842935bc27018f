"""Tiny encoders of sound, and sound for them."""

import functools

import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.layers.frames import Convolution, Frames, real_frames
from pretrainjax.models.layers.log_mel import speech_log_mel
from pretrainjax.models.layers.pool import mean_pool
from pretrainjax.models.product_quantizer import ProductQuantizer
from pretrainjax.models.sound_encoder import SoundEncoder, hide
from pretrainjax.models.spectrogram_vit import SpectrogramViT
from pretrainjax.models.unit_head import UnitHead
from pretrainjax.models.wav2vec2 import Wav2Vec2
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.objectives.masked.masked_units import BestRQ, HuBERT
from pretrainjax.objectives.masked.wav2vec2 import Wav2Vec2Pretraining
from pretrainjax.types import Encoded

WAVEFORM = {
  "embed_dim": 16,
  "num_layers": 2,
  "num_heads": 2,
  "mlp_dim": 16,
  "conv_dims": (8, 8),
  "conv_sizes": (20, 20),
  "conv_strides": (20, 16),  # 320 samples a frame, as the real one's
  "position_size": 4,
  "position_groups": 2,
}
CODES = 12
BOOKS = {"num_groups": 2, "num_codes": 6, "code_dim": 4, "out_dim": 8}
wav2vec2 = functools.partial(Wav2Vec2, **WAVEFORM)
SPECTROGRAM = {"num_mels": 8, "length": 60, "patch_size": 4, "embed_dim": 16, "num_layers": 2}
SPECTROGRAM |= {"num_heads": 2, "mlp_dim": 32, "num_prefix": 1}


class LogMelEncoder(SoundEncoder):
  """Four log-mel frames side by side a token, and convolutions over tokens."""

  def __init__(self, *, embed_dim: int = 16, feature_dim: int = 8, rngs: nnx.Rngs):
    self.embed_dim, self.feature_dim = embed_dim, feature_dim
    self.first = Convolution(in_dim=feature_dim, out_dim=embed_dim, size=4, stride=4, rngs=rngs)
    sizes = {"in_dim": embed_dim, "out_dim": embed_dim, "size": 5, "padding": 2}
    self.second = Convolution(**sizes, rngs=rngs)
    self.vector = nnx.Param(jnp.zeros(embed_dim))

  def valid(self, inputs):
    real = speech_log_mel(self.feature_dim)(inputs).valid
    return real_frames(jnp.sum(real, axis=1) // 4, real.shape[1] // 4)

  def features(self, inputs) -> Frames:
    return speech_log_mel(self.feature_dim)(inputs)

  def encode(self, frames, *, masked=None, deterministic=True, rngs=None) -> Encoded:
    x, valid = self.first(frames)
    x = hide(nnx.gelu(x), masked, vector=self.vector)
    x = x + self.second(Frames(x, valid)).features
    return Encoded(x, mean_pool(x, valid), valid)


def sounds(batch_size: int = 4, *, seconds: float = 0.5, seed: int = 0) -> dict[str, np.ndarray]:
  """Tones that glide, with noise, of several lengths; what lies behind the end is noise too."""
  rng, length = np.random.default_rng(seed), int(16_000 * seconds)
  times = np.arange(length) / 16_000
  pitch = rng.uniform(100, 1000, (batch_size, 1)) * (
    1 + rng.uniform(-1, 2, (batch_size, 1)) * times
  )
  audio = 8000 * np.sin(2 * np.pi * pitch * times) + rng.normal(size=(batch_size, length)) * 300
  num_samples = np.linspace(length, length // 2, batch_size).astype(np.int32)
  return {"audio": audio.astype(np.int16), "num_samples": num_samples}


def best_rq(backbone=LogMelEncoder, num_codebooks=2, **changes):
  head = functools.partial(UnitHead, in_dim=16, num_codes=CODES, num_codebooks=num_codebooks)
  sizes = {"num_codes": CODES, "num_codebooks": num_codebooks, "start_rate": 0.2, "span_length": 2}
  return BestRQ(backbone=backbone, head=head, **(sizes | changes))


def hubert(backbone=wav2vec2, **changes):
  head = functools.partial(UnitHead, in_dim=16, num_codes=CODES, code_dim=8)
  sizes = {"num_codes": CODES, "start_rate": 0.2, "span_length": 2, "fit_batches": 2}
  return HuBERT(backbone=backbone, head=head, **(sizes | changes))


def pretraining(**changes):
  books = functools.partial(ProductQuantizer, in_dim=8, embed_dim=16, **BOOKS)
  sizes = {"start_rate": 0.2, "span_length": 2, "num_distractors": 10}
  return Wav2Vec2Pretraining(backbone=wav2vec2, quantizer=books, **(sizes | changes))


def mae(backbone=None, decoder=None, **changes):
  """Masked autoencoding of spectrograms: 15 patches in time, two in bands."""
  sizes = {"grid": (15, 2), "patch_dim": 16, "encoder_dim": 16, "embed_dim": 16}
  sizes |= {"num_layers": 2, "num_heads": 2} | (decoder or {})
  return MAE(
    backbone=functools.partial(SpectrogramViT, **SPECTROGRAM | (backbone or {})),
    decoder=functools.partial(MAEDecoder, **sizes),
    **{"mask_ratio": 0.7} | changes,
  )
