"""The whole circle with timm: made and stored by timm, read here, written, read by timm."""

import json

import numpy as np
import pytest
import timm_folders
import torchvision_operators  # noqa: F401
from flax import nnx
from round_trips import load_all, randomise, read_train_write

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.objects import build, recipe
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.convert.table import flatten
from pretrainjax.export import check
from pretrainjax.export.networks import Networks, networks_of
from pretrainjax.export.timm import write_timm
from pretrainjax.models.resnet import ResNet
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.split import split

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
VIT = dict(patch_size=5, in_chans=2, embed_dim=24, depth=2, num_heads=3, mlp_ratio=1.7)
FOUR = dict(layers=[1, 2, 1, 1], channels=[6, 8, 5, 7])
# name -> class, architecture, its arguments.
CASES = {
  "vit": ("VisionTransformer", "vit_tiny_patch16_224", VIT | dict(img_size=15, num_classes=7)),
  "vit_mean": (
    "VisionTransformer",
    "vit_base_patch16_224",
    VIT | dict(img_size=(15, 10), num_classes=0, global_pool="avg", act_layer="relu"),
  ),
  "vit_bare": (
    "VisionTransformer",
    "deit_small_patch16_224",
    VIT
    | dict(img_size=15, num_classes=4, class_token=False, global_pool="avg", fc_norm=False)
    | dict(no_embed_class=True, act_layer="gelu_tanh"),
  ),
  "dinov2": (
    "VisionTransformer",
    "vit_small_patch14_reg4_dinov2",
    VIT | dict(img_size=15, reg_tokens=2, init_values=0.3, num_classes=0),
  ),
  "resnet": ("ResNet", "resnet18", dict(in_chans=2, **FOUR)),
  "resnet_bottleneck": ("ResNet", "resnet50", dict(**FOUR, num_classes=0)),
}


@pytest.mark.parametrize("name", CASES)
def test_read_train_write(name, tmp_path):
  kind, architecture, arguments = CASES[name]
  torch.manual_seed(0)
  model = randomise(timm.create_model(architecture, **arguments).eval())
  timm.models.save_for_hf(model, tmp_path, safe_serialization=True)
  rate = 0.01 if kind == "ResNet" else 0.5  # norms with given statistics grow fast
  how = {"write": write_timm, "library": "timm", "learning_rate": rate}
  again = read_train_write(model, kind, load_all(tmp_path), tmp_path, **how)
  found = timm.create_model(f"local-dir:{again}", pretrained=True)
  config = json.loads((tmp_path / "config.json").read_text())
  assert list(found.pretrained_cfg["mean"]) == config["pretrained_cfg"]["mean"]


@pytest.mark.parametrize("name", timm_folders.CASES)
def test_the_stored_names_are_those_of_timm(name):
  case = timm_folders.CASES[name]
  arguments = case["model_args"] | {"num_classes": case["num_classes"]}
  model = timm.create_model(case["architecture"], **arguments)
  assert {n: list(t.shape) for n, t in model.state_dict().items()} == case["shapes"]


@pytest.mark.parametrize(
  "backbone",
  [
    recipe(ResNet, depth=10, stem="cifar"),
    recipe(ViT, image_size=12, patch_size=4, embed_dim=16, num_layers=1, num_heads=2, mlp_dim=9),
  ],
)
def test_what_is_made_here_is_loaded_there(backbone, tmp_path):
  """A stem for small images, a fixed table of positions: timm has neither of its own."""
  module = nnx.Dict({"encoder": build(backbone)(rngs=nnx.Rngs(0))})
  _, params, extras = split(module)
  leaves = flatten(params) | flatten(extras)
  networks = Networks({"backbone": backbone}, leaves, dict(module.items()), (12, 12))
  lines = check.differences(tmp_path, networks, write_timm(tmp_path, networks))
  assert len(lines) > 3 and max(lines.values()) < 1e-4, lines
  again = networks_of(load(f"hf:{tmp_path}"), None)
  (tmp_path / "again").mkdir()
  write_timm(tmp_path / "again", again)
  first, second = TensorFolder(tmp_path), TensorFolder(tmp_path / "again")
  assert sorted(first) == sorted(second)
  for name in first:
    if not name.endswith("num_batches_tracked"):
      np.testing.assert_array_equal(first[name], second[name])
