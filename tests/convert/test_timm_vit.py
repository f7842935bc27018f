import numpy as np
import pytest
import timm_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.objects import recipe
from pretrainjax.convert import timm_vit
from pretrainjax.convert.family import Tokens, class_for, family_of
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.models.vit import ViT, vit_variant

KIND = "VisionTransformer"


def read(**changes):
  return timm_vit.read_config(Fields(timm_folders.config_of("vit", **changes)), KIND)


def test_config_json_says_all_that_our_network_is():
  recipes = read(drop_rate=0.25, init_values=0.5, drop_path_rate=0.125)
  backbone = recipes["backbone"]
  assert (backbone.image_size, backbone.mlp_dim, backbone.eps) == (6, 10, 1e-6)
  assert (backbone.image_mean, backbone.layer_scale) == ((0.25, 0.25), 0.5)
  assert (recipes["head"].num_classes, recipes["head"].dropout) == (5, 0.25)
  assert class_for(recipes, library="timm")[:2] == (timm_vit, KIND)
  written = timm_vit.write_config(recipes, KIND, Tokens())
  assert family_of(Fields(written)) == (timm_vit, KIND)
  assert timm_vit.read_config(Fields(written), KIND) == recipes


@pytest.mark.parametrize(
  "name, variant, more",
  [
    ("vit_base_patch16_224", "B/16", {}),
    ("deit_tiny_patch16_224", "Ti/16", {}),
    ("vit_huge_patch14_224", "H/14", {}),
    ("vit_small_patch14_dinov2", "S/14", {"layer_scale": 1e-5}),
    (
      "vit_large_patch14_reg4_dinov2",
      "L/14",
      {"layer_scale": 1e-5, "num_registers": 4, "cls_position": False},
    ),
  ],
)
def test_an_architecture_says_its_sizes(name, variant, more):
  images = {"input_size": [3, 224, 224], "mean": [0.5] * 3, "std": [0.5] * 3}
  found = timm_vit.read_config(
    Fields({"architecture": name, "num_classes": 0, "pretrained_cfg": images}), KIND
  )
  scaling = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3}
  learned = {"position": "learned", "cls_position": True, **more}
  expected = recipe(ViT, image_size=224, **vit_variant(variant), **learned, **scaling)
  assert found == {"backbone": expected}
  again = timm_vit.write_config(found, KIND, Tokens())
  again["pretrained_cfg"]["input_size"] = [3, 224, 224]
  assert timm_vit.read_config(Fields(again), KIND) == found
  assert again["architecture"] == (name if name.startswith("vit") and not more else _FALLBACK[name])


_FALLBACK = {
  "deit_tiny_patch16_224": "vit_tiny_patch16_224",
  "vit_small_patch14_dinov2": "vit_base_patch16_224",
  "vit_large_patch14_reg4_dinov2": "vit_large_patch14_224",
}


@pytest.mark.parametrize("width, mlp_dim", [(24, 40), (7, 9), (49, 15), (768, 3072)])
def test_the_width_of_perceptrons_survives_timms_rounding(width, mlp_dim):
  sizes = {"image_size": 6, "patch_size": 3, "num_layers": 1, "num_heads": 1}
  backbone = recipe(ViT, **sizes, embed_dim=width, mlp_dim=mlp_dim)
  arguments = timm_vit.write_config({"backbone": backbone}, KIND, Tokens())["model_args"]
  assert int(width * arguments["mlp_ratio"]) == mlp_dim


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"qk_norm": True}, "qk_norm: found True"),
    ({"pre_norm": True}, "pre_norm: found True"),
    ({"norm_layer": "rmsnorm"}, "norm_layer: found 'rmsnorm', expected nothing"),
    ({"global_pool": "map"}, "global_pool: found 'map'"),
    ({"act_layer": "quick_gelu"}, "act_layer: found 'quick_gelu'"),
    ({"reg_tokens": 1}, "no_embed_class: found None, expected True"),
    ({"attn_drop_rate": 0.1}, "attn_drop_rate: found 0.1"),
    ({"img_size": [6, 6, 6]}, "img_size: found"),
    ({"embed_dim": -8}, "embed_dim: found -8"),
  ],
)
def test_what_ours_is_not_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    read(**changes)


@pytest.mark.parametrize("name", ["vit_base_patch16_clip_224", "vit_giant_patch14_dinov2", 3])
def test_an_architecture_that_we_do_not_have_is_refused(name):
  with pytest.raises(UserError, match="architecture: found .*, expected one that we have"):
    family_of(Fields({"architecture": name}))


@pytest.mark.parametrize(
  "change",
  [
    {"eps": 1e-12},
    {"pool_norm": True},
    {"num_registers": 1},
    {"pool": "map"},
    {"activation": "tanh"},
  ],
)
def test_a_run_that_timms_class_cannot_be_is_not_written_as_one(change):
  backbone = read()["backbone"]
  with backbone.ignore_type():
    backbone.update(change)
  assert not timm_vit.fits({"backbone": backbone}, KIND)


@pytest.mark.parametrize("name", ["vit", "vit_registers"])
def test_tensors_come_by_timms_names(name, tmp_path):
  module = load(f"hf:{timm_folders.make(tmp_path / 'timm', name)}").module
  tensors = timm_folders.tensors_of(name)
  query = tensors["blocks.0.attn.qkv.weight"][:8]
  np.testing.assert_array_equal(module.encoder.blocks.attention.query.kernel[0], query.T)
  if name == "vit":
    np.testing.assert_array_equal(module.encoder.cls_position[...], tensors["pos_embed"][0, :1])
    np.testing.assert_array_equal(module.head.classifier.kernel[...], tensors["head.weight"].T)
  else:
    np.testing.assert_array_equal(module.encoder.register_tokens[...], tensors["reg_token"][0])
