"""Classifiers of DINOv2, of which the encoder is read."""

import numpy as np
import pytest
from round_trips import randomise
from transformers_models import close, saved

from pretrainjax.checkpoint.encoder import load_encoder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
SIZES = dict(image_size=15, patch_size=5, hidden_size=24, num_hidden_layers=2, mlp_ratio=2)
SIZES |= dict(num_attention_heads=3, layerscale_value=0.3, num_labels=5)


@pytest.mark.parametrize("name", ["Dinov2", "Dinov2WithRegisters"])
def test_features_are_those_beneath_the_classifier(name, tmp_path, caplog):
  torch.manual_seed(0)
  config = getattr(transformers, f"{name}Config")(**SIZES)
  model = randomise(getattr(transformers, f"{name}ForImageClassification")(config).eval())
  saved(model, tmp_path)
  encoder = load_encoder(f"hf:{tmp_path}")
  assert "left behind, as nothing of ours holds it: classifier.bias" in caplog.text
  images = np.float32(np.random.default_rng(0).normal(size=(3, 15, 15, 3)))
  with torch.no_grad():
    theirs = model.base_model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
  close(encoder.sequence(images), theirs.last_hidden_state.numpy(), name)
