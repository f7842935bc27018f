"""What a Whisper writes, beside the likeliest tokens of the model of transformers."""

import numpy as np
import pytest
import torchvision_operators  # noqa: F401
from transformers_models import saved

from pretrainjax.checkpoint.encoder import load
from pretrainjax.generation.transcriber import Transcriber
from pretrainjax.types import Sound

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
LENGTHS = np.array([5200, 4001, 900], np.int32)
AUDIO = np.random.default_rng(0).integers(-9000, 9000, (3, 5200)).astype(np.int16)


def test_the_likeliest_tokens_are_theirs(tmp_path):
  torch.manual_seed(0)
  config = transformers.WhisperConfig(
    d_model=16,
    vocab_size=41,
    num_mel_bins=9,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=2,
    decoder_attention_heads=4,
    encoder_ffn_dim=24,
    decoder_ffn_dim=24,
    max_source_positions=20,
    max_target_positions=14,
    pad_token_id=1,
    bos_token_id=2,
    eos_token_id=2,
    decoder_start_token_id=3,
    begin_suppress_tokens=None,
    init_std=0.5,
  )
  model = transformers.WhisperForConditionalGeneration(config).eval()
  saved(model, tmp_path)
  parts = {name: part.module for name, part in load(f"hf:{tmp_path}").parts.items()}
  written = Transcriber(parts["encoder"], parts["decoder"])(Sound(AUDIO, LENGTHS))
  features = parts["encoder"].features(Sound(AUDIO, LENGTHS)).features
  features = torch.from_numpy(np.array(features)).transpose(1, 2)
  for row in range(3):
    tokens = [3]
    while len(tokens) < 14:
      with torch.no_grad():
        prompt = torch.tensor([tokens])
        logits = model(features[row : row + 1], decoder_input_ids=prompt).logits[0, -1]
      if int(logits.argmax()) == 2:
        break
      tokens.append(int(logits.argmax()))
    assert written.tokens[row, : written.lengths[row]].tolist() == tokens[1:]
