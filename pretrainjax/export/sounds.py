"""Encoders of sound beside their classes in transformers: what goes in, and what is compared."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from pretrainjax.export.odd_inputs import rare_tokens
from pretrainjax.models.layers.waveform import normalised_audio
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.models.spectrogram_vit import SpectrogramViT
from pretrainjax.models.wav2vec2 import Wav2Vec2
from pretrainjax.models.whisper import WhisperEncoder
from pretrainjax.types import Sound

_LONGEST, _PROMPT = 5000, 5


def longest_of(encoder: SoundEncoder) -> int:
  """The samples of the longest sound of a check: enough for some frames."""
  return max(_LONGEST, 4 * encoder.receptive_field)


def present_of(encoder: SoundEncoder, sound: Sound) -> Bool[np.ndarray, "B N"] | None:
  """Which tokens are compared; None says all, of encoders that see padding as theirs do."""
  return np.asarray(encoder.valid(sound)) if isinstance(encoder, Wav2Vec2) else None


def ours_of(modules: Mapping[str, Any], kind: str, sound: Sound) -> Any:
  """What our networks say: scores where their class has a head, else features of frames.

  Args:
    modules: the networks by name.
    kind: the class of transformers.
    sound: what they read.
  """
  encoder = modules["encoder"]
  if kind.endswith("ForPreTraining"):
    frames, quantizer = encoder.features(sound), modules["quantizer"]
    tokens = quantizer.compared(encoder.encode(frames).tokens)
    return jnp.concatenate([tokens, quantizer(frames.features).codes], axis=-1)
  encoded = encoder(sound)
  if "decoder" in modules:
    decoder = modules["decoder"]
    hidden = decoder(jnp.asarray(_prompts(decoder.vocab_size, len(encoded.tokens))), encoded.tokens)
    return hidden if kind.endswith("Model") else decoder.logits(hidden)
  if kind.endswith("ForAudioClassification"):
    return modules["head"](encoded.pooled)
  return modules["head"](encoded.tokens) if kind.endswith("ForCTC") else encoded.tokens


def theirs_of(torch: Any, model: Any, kind: str, sound: Sound, encoder: SoundEncoder) -> Any:
  """What their model says of the same.

  Args:
    torch: the module of that name.
    model: the model, as transformers loaded it.
    kind: the class of the model.
    sound: what ours reads.
    encoder: ours, which says how samples are scaled.
  """
  if isinstance(encoder, Wav2Vec2):
    return _by_rows(torch, model, kind, sound, encoder)
  features = torch.from_numpy(np.array(encoder.features(sound).features))
  if isinstance(encoder, WhisperEncoder):
    prompts = torch.from_numpy(_prompts(model.config.vocab_size, len(features))).long()
    output = model(features.transpose(1, 2), decoder_input_ids=prompts)
    return output.last_hidden_state if kind.endswith("Model") else output.logits
  assert isinstance(encoder, SpectrogramViT)
  output = model(features)
  if kind.endswith("ForAudioClassification"):
    return output.logits
  times, bands = encoder.grid
  patches = output.last_hidden_state[:, encoder.num_prefix :]
  return patches.unflatten(1, (bands, times)).transpose(1, 2).flatten(1, 2)


def _prompts(vocab_size: int, count: int) -> Int[np.ndarray, "B T"]:
  """What decoders read."""
  return rare_tokens((count, _PROMPT), vocab_size=vocab_size).astype(np.int32)


def _by_rows(torch: Any, model: Any, kind: str, sound: Sound, encoder: Wav2Vec2) -> Any:
  """Row by row, as theirs lets padding count in the norm over time; then padded to one length."""
  rows = []
  for audio, count in zip(np.asarray(sound.audio), np.asarray(sound.num_samples), strict=True):
    alone = Sound(audio[None, :count], np.array([count], np.int32))
    values = normalised_audio(alone).audio if encoder.normalise else audio[None, :count] / 32_768
    output = model(torch.from_numpy(np.array(values, np.float32)))
    if kind.endswith("ForPreTraining"):
      parts = (output.projected_states, output.projected_quantized_states)
      rows.append(torch.cat(parts, -1)[0])
    else:
      rows.append((output.logits if kind.endswith("ForCTC") else output.last_hidden_state)[0])
  return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
