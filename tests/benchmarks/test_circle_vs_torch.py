"""What is compared is the same on both sides."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
import circle_vs_torch  # noqa: E402

pytestmark = pytest.mark.parity


def test_pixels_are_scaled_as_config_says(tmp_path):
  said = '{"rescale_factor": 0.00392156862745098, "image_mean": [0.5], "image_std": [0.25]}'
  (tmp_path / "preprocessor_config.json").write_text(said)
  image = np.array([[[[255], [0]]]], np.uint8)
  found = circle_vs_torch.inputs({"image": image}, tmp_path)["pixel_values"]
  np.testing.assert_allclose(found.numpy(), [[[[2.0, -2.0]]]], rtol=1e-6)


def test_padding_is_masked(tmp_path):
  batch = {"tokens": np.array([[5, 6, 0]]), "segments": np.array([[1, 1, 0]])}
  found = circle_vs_torch.inputs(batch, tmp_path)
  assert found["attention_mask"].tolist() == [[1, 1, 0]]
  assert found["input_ids"].tolist() == [[5, 6, 0]]


def test_weights_alone_decay():
  matrix, vector = torch.zeros(2, 2), torch.zeros(2)
  assert circle_vs_torch.is_weight("vit.encoder.layer.0.output.dense.weight", matrix)
  assert circle_vs_torch.is_weight("bert.embeddings.word_embeddings.weight", matrix)
  assert not circle_vs_torch.is_weight("bert.embeddings.position_embeddings.weight", matrix)
  assert not circle_vs_torch.is_weight("vit.embeddings.cls_token", matrix)
  assert not circle_vs_torch.is_weight("vit.layernorm.weight", vector)
