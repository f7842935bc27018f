"""The arrays of one part of a run come straight to where they belong, verified."""

import random
from pathlib import Path

import damage
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import simulated
import their_folders
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding
from ml_collections import ConfigDict

import pretrainjax as pj
from pretrainjax.checkpoint import verified
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config import build, recipe, spec
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.models.heads import Head
from pretrainjax.models.resnet import ResNet
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.split import abstract_split
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.train import load_params as module

WIDTH, MLP_DIM = 64, 512  # enough that "fsdp" cuts it
VIT = {"image_size": 8, "patch_size": 4, "embed_dim": WIDTH, "num_layers": 2, "num_heads": 2}


def save(workdir: Path, backbone: ConfigDict, width: int, *, ema: bool = True) -> Path:
  """Two steps of noise; the parameters of step s are all moved by s."""
  head = recipe(Head, in_dim=width, num_classes=4)
  objective = spec(Classification, backbone=backbone, head=head, num_classes=4)
  config = ConfigDict({"objective": objective})
  rng = np.random.default_rng(0)
  _, *shapes = abstract_split(build(config.objective))
  params, extras = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes)
  with Checkpoints(workdir) as checkpoints:
    for step in (1, 2):
      moved = jax.tree.map(lambda x, by=step: x + by, params)
      average = jax.tree.map(lambda x: x + 0.5, moved) if ema else None
      state = {"params": moved, "extras": extras, "ema": average, "opt_state": [params]}
      checkpoints.save(step, state, config=config)
  return workdir


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
  return save(tmp_path_factory.mktemp("runs") / "vit", recipe(ViT, mlp_dim=MLP_DIM, **VIT), WIDTH)


def same(found, expected):
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def pure(network: nnx.Module):
  return nnx.to_pure_dict(nnx.state(network))


def test_they_are_those_of_load(workdir):
  same(pj.load_params(workdir), pure(pj.load_encoder(workdir)))
  head = pj.load_params(f"{workdir}@1", part="head", weights="online")
  same(head, pure(pj.load(workdir, step=1, weights="online").parts["head"].module))
  same(pj.load_params(f"{workdir}@1:head", weights="online"), head)


@pytest.mark.repeat
def test_batch_statistics_and_lists_of_layers_are_there(tmp_path):
  run = save(tmp_path, recipe(ResNet, depth=10, stem="cifar"), 512, ema=False)
  encoder = pj.load_encoder(run)
  found = pj.load_params(run)
  same(found, pure(encoder))
  other = nnx.eval_shape(lambda: ResNet(depth=10, stem="cifar", rngs=nnx.Rngs(7)))
  nnx.update(other, found)
  same(pure(other), found)


def test_only_the_part_is_read_and_cast_by_groups(workdir, monkeypatch):
  read, names = verified.some_arrays, []

  def noted(folder, target):
    names.append(
      [jax.tree_util.keystr(p, simple=True) for p, _ in jax.tree.leaves_with_path(target)]
    )
    return read(folder, target)

  monkeypatch.setattr(verified, "some_arrays", noted)
  monkeypatch.setattr(module, "_GROUP", 4 * WIDTH * MLP_DIM)
  found = pj.load_params(workdir, dtype="bfloat16")
  assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype("bfloat16")}
  same(found, jax.tree.map(lambda x: x.astype("bfloat16"), pure(pj.load_encoder(workdir))))
  assert len(names) > 2 and all(name.startswith("emaencoder") for group in names for name in group)


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_as_numpy(dtype, workdir):
  found = pj.load_params(workdir, sharding="numpy", dtype=dtype)
  assert all(type(x) is np.ndarray for x in jax.tree.leaves(found))
  expected = pure(pj.load_encoder(workdir))
  same(found, expected if dtype is None else jax.tree.map(lambda x: x.astype(dtype), expected))


def test_onto_shardings_of_ones_own(workdir):
  device = jax.devices()[0]
  mesh = Mesh(np.array([device]), ("model",))
  rows = NamedSharding(mesh, PartitionSpec("model"))
  asked = []

  def by_name(name, shape):
    asked.append((name, shape))
    return SingleDeviceSharding(device) if name.endswith("bias") else rows

  found = pj.load_params(workdir, sharding=by_name)
  assert ("blocks/mlp/up/kernel", (2, WIDTH, MLP_DIM)) in asked
  assert found["blocks"]["mlp"]["up"]["kernel"].sharding == rows
  assert isinstance(found["norm"]["bias"].sharding, SingleDeviceSharding)
  for sharding in (mesh, rows):
    same(pj.load_params(workdir, sharding=sharding), found)


@pytest.mark.repeat
def test_onto_a_mesh_of_eight_devices(workdir):
  """As training cuts them, none of them whole anywhere."""
  program = """
import sys, jax, numpy as np, pretrainjax as pj
from pretrainjax.errors import UserError
mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(4, 2), ("fsdp", "tensor"))
found = pj.load_params(sys.argv[1], sharding=mesh, dtype="bfloat16")
whole = pj.load_params(sys.argv[1], sharding="numpy", dtype="bfloat16")
jax.tree.map(np.testing.assert_array_equal, found, whole)
up = found["blocks"]["mlp"]["up"]["kernel"]
print(len(up.addressable_shards), up.addressable_shards[0].data.shape)
odd = jax.sharding.Mesh(np.array(jax.devices()[:3]), ("tensor",))
try:
  pj.load_params(sys.argv[1], sharding=odd)
except UserError as error:
  print(error)
"""
  said = simulated.run_on_devices("-c", program, workdir).splitlines()
  assert said[0] == f"8 (2, {WIDTH // 4}, {MLP_DIM // 2})"
  assert said[1].startswith("sharding.tensor: found 3, expected a divisor of 64, which is axis")


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "GPT2LMHeadModel", "ResNetModel", "ViTModel"])
def test_of_a_model_of_transformers(kind, tmp_path):
  folder = f"hf:{their_folders.make(tmp_path, kind)}"
  for name, part in pj.load(folder).parts.items():
    found, expected = pj.load_params(folder, part=name), pure(part.module)
    same(found, expected)
    same(pj.load_params(f"{folder}:{name}"), expected)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found))
  half = pj.load_params(folder, sharding="numpy", dtype="bfloat16")
  same(half, jax.tree.map(lambda x: np.asarray(x.astype(jnp.bfloat16)), pj.load_params(folder)))
  assert {type(leaf) for leaf in jax.tree.leaves(half)} == {np.ndarray}


def test_arrays_of_a_model_of_transformers_are_put_where_they_belong(tmp_path, monkeypatch):
  folder, seen = f"hf:{their_folders.make(tmp_path)}", {}
  mesh = Mesh(np.array(jax.devices()[:1]), ("model",))

  def place(name, shape):
    seen[name] = shape
    return NamedSharding(mesh, PartitionSpec())

  found = pj.load_params(folder, sharding=place)
  assert seen["blocks/mlp/up/kernel"] == (2, 6, 10)
  assert {leaf.sharding for leaf in jax.tree.leaves(found)} == {
    NamedSharding(mesh, PartitionSpec())
  }
  monkeypatch.setattr(TensorFolder, "__getitem__", lambda *_: pytest.fail("a tensor was read"))
  deep = NamedSharding(mesh, PartitionSpec(None, None, "model"))
  for arguments, said in (
    ({"part": "haed"}, "the model has no part 'haed'; did you mean 'head'"),
    ({"sharding": deep}, r"sharding: blocks/attention/key/bias \[2, 6\]: "),
    ({"weights": "ema"}, "such a model has no moving average"),
    ({"step": 3}, "found a step"),
  ):
    with pytest.raises(UserError, match=said):
      pj.load_params(folder, **arguments)


def test_only_the_tensors_of_the_part_are_read_and_all_names_are_checked(tmp_path, monkeypatch):
  folder, names = their_folders.make(tmp_path / "model"), []
  read = TensorFolder.__getitem__
  monkeypatch.setattr(
    TensorFolder, "__getitem__", lambda self, name: names.append(name) or read(self, name)
  )
  pj.load_params(f"hf:{folder}", part="head")
  assert names and all(name.startswith("cls.") for name in names)
  tensors = their_folders.tensors_of("BertForMaskedLM")
  del tensors["bert.embeddings.LayerNorm.bias"]
  their_folders.make(tmp_path / "less", tensors=tensors)
  with pytest.raises(UserError, match="missing tensors bert.embeddings.LayerNorm.bias"):
    pj.load_params(f"hf:{tmp_path}/less", part="head")


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    ({"part": "haed"}, r"vit@2: the run has no part 'haed'; did you mean 'head'"),
    ({"dtype": "int8"}, "dtype: found 'int8', expected floats, such as 'bfloat16'"),
    ({"dtype": "flaot32"}, "dtype: found 'flaot32', expected floats"),
    ({"sharding": lambda name, shape: None}, "sharding: found None for .*, expected None, 'numpy'"),
    ({"step": 5}, r"has not checkpoint 5; saved: \[2, 1\]"),
  ],
)
def test_what_cannot_be_had_is_one_line(arguments, said, workdir):
  with pytest.raises(UserError, match=said) as refusal:
    pj.load_params(workdir, **arguments)
  assert "\n" not in str(refusal.value)


def test_a_sharding_that_does_not_fit_is_refused(workdir):
  mesh = Mesh(np.array(jax.devices()[:1]), ("model",))
  deep = NamedSharding(mesh, PartitionSpec(None, None, "model"))
  with pytest.raises(UserError, match=r"sharding: blocks/attention/key/bias \[2, 64\]: "):
    pj.load_params(workdir, sharding=deep)


def test_damage_is_found_and_an_older_step_taken(workdir, tmp_path, caplog):
  run = save(tmp_path / "run", recipe(ViT, mlp_dim=MLP_DIM, **VIT), WIDTH)
  chance = random.Random(0)
  for path in damage.array_files(run / "checkpoints" / "2"):  # which of them is read, Orbax knows
    for _ in range(64):  # or what is not read may be hit alone
      damage.flip(path, chance)
  found = pj.load_params(run)
  same(found, pj.load_params(f"{workdir}@1"))
  assert "CHECKPOINT DAMAGED" in caplog.text
