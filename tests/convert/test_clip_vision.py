import numpy as np
import their_folders
from flax import nnx

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.objects import recipe
from pretrainjax.convert import clip_vision
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.models.vit import ViT

KIND = "CLIPVisionModelWithProjection"
CONFIG = their_folders.CONFIGS[KIND]


def read(**changes):
  return clip_vision.read_config(Fields(CONFIG | changes), KIND)


def test_the_class_token_is_normalised_at_the_end_and_all_at_the_beginning(tmp_path):
  recipes = read()
  assert class_for(recipes)[1] == KIND
  assert class_for({"backbone": recipes["backbone"]})[1] == "CLIPVisionModel"
  encoder = load(f"hf:{their_folders.make(tmp_path, KIND)}").encoder
  images = np.random.default_rng(0).integers(0, 256, (2, 7, 7, 2), np.uint8)
  tokens = encoder.sequence(images)
  np.testing.assert_allclose(encoder(images).pooled, encoder.pool_norm(tokens[:, 0]), atol=1e-6)
  assert tokens.shape == (2, 1 + 4, 8) and encoder.patch_embed.bias is None
  assert isinstance(encoder.embedding_norm, nnx.Module)


def test_pixels_that_fill_no_patch_are_left_out(tmp_path):
  encoder = load(f"hf:{their_folders.make(tmp_path, KIND)}").encoder
  images = np.random.default_rng(0).integers(0, 256, (2, 7, 7, 2), np.uint8)
  changed = images.copy()
  changed[:, 6:], changed[:, :, 6:] = 0, 255
  np.testing.assert_array_equal(encoder(images).pooled, encoder(changed).pooled)
  assert read()["backbone"].cut_edges and not read(image_size=6)["backbone"].cut_edges


def test_dropout_of_attention_is_told(caplog):
  read(attention_dropout=0.1)
  assert "attention_dropout: found 0.1, ours has none there" in caplog.text


def test_scaling_of_images_is_openais_where_there_are_three_colours():
  assert read()["backbone"].image_mean == (0.5,)
  backbone = read(num_channels=3)["backbone"]
  assert backbone.image_mean == (0.48145466, 0.4578275, 0.40821073)
  written = clip_vision.write_config({"backbone": backbone}, "CLIPVisionModel", Tokens())
  assert "projection_dim" not in written and written["hidden_act"] == "quick_gelu"


def test_other_vits_are_none():
  sizes = {"image_size": 6, "patch_size": 3, "embed_dim": 8, "num_layers": 1, "num_heads": 2}
  plain = recipe(ViT, **sizes, mlp_dim=10, position="learned", cls_position=True)
  assert not clip_vision.fits({"backbone": plain}, "CLIPVisionModel")
  assert class_for({"backbone": plain})[1] == "ViTModel"
