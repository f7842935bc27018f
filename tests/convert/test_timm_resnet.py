import numpy as np
import pytest
import timm_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.objects import recipe
from pretrainjax.convert import timm_resnet
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.models.resnet import ResNet

KIND = "ResNet"


def read(name="resnet", **changes):
  return timm_resnet.read_config(Fields(timm_folders.config_of(name, **changes)), KIND)


@pytest.mark.parametrize(
  "name, widths", [("resnet", (4, 6, 5, 7)), ("resnet_bottleneck", (8, 12, 4, 8))]
)
def test_config_json_says_all_that_our_network_is(name, widths):
  recipes = read(name)
  backbone = recipes["backbone"]
  assert (backbone.widths, backbone.bottleneck) == (widths, name != "resnet")
  assert class_for(recipes, library="timm")[:2] == (timm_resnet, KIND)
  written = timm_resnet.write_config(recipes, KIND, Tokens())
  assert timm_resnet.read_config(Fields(written), KIND) == recipes


@pytest.mark.parametrize(
  "arguments, architecture, differs",
  [
    ({"depth": 50}, "resnet50", {}),
    ({"depth": 10}, "resnet18", {"layers": [1, 1, 1, 1]}),
    ({"depth": 34, "stem": "cifar"}, "resnet34", {}),
  ],
)
def test_runs_have_the_names_of_timm(arguments, architecture, differs):
  backbone = recipe(ResNet, **arguments)
  written = timm_resnet.write_config({"backbone": backbone}, KIND, Tokens())
  expected = {"global_pool": "avg", "in_chans": 3, **differs}
  assert (written["architecture"], written["model_args"]) == (architecture, expected)
  assert ("pretrainjax" in written) == ("stem" in arguments)
  assert timm_resnet.read_config(Fields(written), KIND) == {"backbone": backbone}


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"avg_down": True}, "avg_down: found True, expected nothing"),
    ({"global_pool": "max"}, "global_pool: found 'max'"),
    ({"layers": [1]}, "layers: found .*, expected 4 numbers"),
    ({"channels": [1] * 5}, "channels: found .*, expected 4 numbers"),
    ({"layers": [1, 1, 1, 10**6]}, "layers: found .*, at most 1000 together"),
  ],
)
def test_what_ours_is_not_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    read(**changes)


def test_a_run_that_timms_class_cannot_be_is_not_written_as_one():
  stages = {"depth": None, "counts": (1,) * 4, "widths": (9,) * 4, "bottleneck": True}
  fewer = stages | {"counts": (1,) * 3, "widths": (8,) * 3}
  for arguments in (stages, fewer, {"stem_dim": 32}):
    assert not timm_resnet.fits({"backbone": recipe(ResNet, **arguments)}, KIND)


def test_tensors_come_by_timms_names(tmp_path):
  found = load(f"hf:{timm_folders.make(tmp_path / 'timm', 'resnet')}")
  tensors = timm_folders.tensors_of("resnet")
  block = found.module.encoder.stage2_block1
  for ours, theirs in (
    (block.conv2.kernel[...].transpose(3, 2, 0, 1), "layer2.0.conv2.weight"),
    (block.shortcut_norm.var[...], "layer2.0.downsample.1.running_var"),
    (found.module.encoder.stem_norm.mean[...], "bn1.running_mean"),
  ):
    np.testing.assert_array_equal(ours, tensors[theirs])
  assert found.fillers["layer2.1.bn2.num_batches_tracked"] == 7
