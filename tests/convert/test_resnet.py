import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.objects import recipe
from pretrainjax.convert import resnet
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers
from pretrainjax.models.resnet import ResNet, stages_of

KIND = "ResNetModel"
CONFIG = their_folders.CONFIGS[KIND]
HOW = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}


def read(kind=KIND, **changes):
  return resnet.read_config(Fields(CONFIG | changes), kind)


def test_config_json_says_all_that_our_network_is():
  recipes = read()
  backbone = recipes["backbone"]
  assert (backbone.depth, backbone.counts, backbone.widths) == (None, (1, 2), (4, 5))
  assert (backbone.stem_dim, backbone.num_channels, backbone.bottleneck) == (3, 2, True)
  assert class_for(recipes)[:2] == (resnet, KIND)
  assert resnet.read_config(Fields(resnet.write_config(recipes, KIND, Tokens())), KIND) == recipes


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_a_depth_of_the_paper_is_told_by_its_number(depth):
  stages = stages_of(depth)
  kinds = {False: "basic", True: "bottleneck"}
  sizes = {"hidden_sizes": list(stages.widths), "depths": list(stages.counts)}
  found = read(**sizes, layer_type=kinds[stages.bottleneck], embedding_size=64, num_channels=3)
  assert found["backbone"] == recipe(ResNet, depth=depth)


def test_classes():
  kind = "ResNetForImageClassification"
  recipes = read(kind, id2label={"0": "cat", "1": "dog", "2": "cow"})
  assert (recipes["head"].in_dim, recipes["head"].num_classes) == (5, 3)
  assert class_for(recipes)[:2] == (resnet, kind)
  assert resnet.read_config(Fields(resnet.write_config(recipes, kind, Tokens())), kind) == recipes


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"hidden_act": "gelu"}, "hidden_act: found 'gelu', expected 'relu'"),
    ({"downsample_in_first_stage": True}, "downsample_in_first_stage: found True"),
    ({"downsample_in_bottleneck": True}, "downsample_in_bottleneck: found True"),
    ({"layer_type": "wide"}, "layer_type: found 'wide'"),
    ({"depths": [1]}, "hidden_sizes: found .*, expected one for each of depths, 1"),
    ({"depths": [1, 0]}, "depths: found"),
    ({"depths": [1, 10**6]}, "depths: found .*, expected at most 1000 blocks"),
    ({"hidden_sizes": "4"}, "hidden_sizes: found '4'"),
  ],
)
def test_what_ours_is_not_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    read(**changes)


def test_a_stem_for_small_images_has_no_class():
  assert not resnet.fits({"backbone": recipe(ResNet, depth=10, stem="cifar")}, KIND)


def test_statistics_come_along_and_counters_as_far_as_they_are_known(tmp_path):
  tensors = their_folders.tensors_of(KIND)
  folder = their_folders.make(tmp_path / "theirs", KIND, tensors=tensors)
  networks = networks_of(load(f"hf:{folder}"), None)
  mean = networks.modules["encoder"].stem_norm.mean[...]
  np.testing.assert_array_equal(mean, tensors["embedder.embedder.normalization.running_mean"])
  counter = "encoder.stages.1.layers.1.layer.2.normalization.num_batches_tracked"
  for name, known in (("unknown", None), ("known", np.int64(7))):
    (tmp_path / name).mkdir()
    if known is not None:
      networks = networks._replace(fillers={f"resnet.{counter}": np.asarray(known)})
    written = write_transformers(tmp_path / name, networks, **HOW)
    assert (written.kind, written.zeros) == (KIND, ("num_batches_tracked",))
    found = TensorFolder(tmp_path / name)
    assert sorted(n for n in found if not n.endswith("tracked")) == sorted(tensors)
    for one, tensor in tensors.items():
      np.testing.assert_array_equal(found[one], tensor)
    assert found.integers(counter) == (known or 0) and found.shape(counter) == ()
  again = load(f"hf:{tmp_path}/known")
  assert again.fillers[f"resnet.{counter}"] == 7 and len(again.fillers) == 12
