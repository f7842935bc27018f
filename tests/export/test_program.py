"""Programs of every network, written, read back and called with several sizes."""

import json

import jax
import numpy as np
import pytest
from exported import SIZES, loaded
from jax import export

from pretrainjax.config.objects import recipe, spec
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.function import function_of
from pretrainjax.export.program import PROGRAM, SIGNATURE, write_program, write_signature
from pretrainjax.models.bert import BERT
from pretrainjax.models.gpt import GPT
from pretrainjax.models.heads import Head
from pretrainjax.models.llama import Llama
from pretrainjax.models.mlp import MLP
from pretrainjax.models.modern_bert import ModernBERT
from pretrainjax.models.resnet import ResNet
from pretrainjax.models.t5 import T5Encoder
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.objectives.imported import Imported
from pretrainjax.objectives.supervised.classification import Classification

pytest.importorskip("flatbuffers", reason="pip install 'pretrainjax[stablehlo]'")

HOW = {"platforms": ("cpu", "cuda", "tpu"), "place": "beside", "dtype": "float32"}
HOW |= {"max_shard_size": 10**9}
VIT = {"image_size": (4, 8), "patch_size": 4, "embed_dim": 8}
VIT |= {"num_layers": 2, "num_heads": 2, "mlp_dim": 6}
# An objective, and sizes of its inputs.
TEXTS = [(2, 5), (3, 1)]
CASES = {
  "bert": (spec(Imported, backbone=recipe(BERT, **SIZES)), TEXTS),
  "modern_bert": (
    spec(Imported, backbone=recipe(ModernBERT, window=2, pool="mean", **SIZES)),
    TEXTS,
  ),
  "gpt": (spec(CausalLM, backbone=recipe(GPT, **SIZES)), TEXTS),
  "llama": (spec(CausalLM, backbone=recipe(Llama, num_kv_heads=1, **SIZES)), TEXTS),
  "t5": (spec(Imported, backbone=recipe(T5Encoder, head_dim=4, **SIZES)), TEXTS),
  "vit": (
    spec(Imported, backbone=recipe(ViT, pool="map", num_registers=2, **VIT)),
    [(2, 4, 8, 3), (1, 4, 8, 3)],
  ),
  "vit_classes": (
    spec(
      Classification,
      backbone=recipe(ViT, dtype="bfloat16", **VIT),
      head=recipe(Head, in_dim=8, num_classes=3, batch_norm=True),
      num_classes=3,
    ),
    [(2, 4, 8, 3)],
  ),
  "mlp": (spec(Imported, backbone=recipe(MLP, image_size=4, embed_dim=8)), [(3, 4, 4, 1)]),
  "resnet": (spec(Imported, backbone=recipe(ResNet, depth=10)), [(2, 33, 47, 3)]),
}


def made(folder, objective, **how):
  function = function_of(loaded(objective), part=None)
  write_signature(folder, function, write_program(folder, function, **HOW | how))
  program = export.deserialize((folder / PROGRAM).read_bytes())
  return function, program, json.loads((folder / SIGNATURE).read_text())


def arrays(function, size):
  """Inputs of a size, of texts with padding."""
  random = np.random.default_rng(0)
  if len(size) == 4:
    return [random.integers(0, 256, size).astype(np.uint8)]
  tokens = random.integers(0, 31, size).astype(np.int32)
  segments = (np.arange(size[1])[None] < np.arange(1, size[0] + 1)[:, None]).astype(np.int32)
  return [tokens, segments, segments - segments][: len(function.inputs)]


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_the_networks_do(name, tmp_path):
  objective, sizes = CASES[name]
  function, program, signature = made(tmp_path, objective)
  weights = dict(TensorFolder(tmp_path))
  for size in sizes:
    inputs = arrays(function, size)
    found = program.call(weights, *inputs)
    expected = jax.jit(function.call)(function.weights, *inputs)
    assert found.keys() == expected.keys() == {one["name"] for one in signature["outputs"]}
    for key, array in expected.items():
      assert found[key].dtype == array.dtype
      tolerance = 1e-5 if array.dtype == np.float32 else 0.05
      np.testing.assert_allclose(
        *(np.asarray(x, np.float32) for x in (found[key], array)), atol=tolerance, rtol=tolerance
      )


def test_weights_may_be_inside(tmp_path):
  (tmp_path / "inside").mkdir()
  objective, (size, _) = CASES["bert"]
  function, beside, _ = made(tmp_path, objective)
  _, inside, signature = made(tmp_path / "inside", objective, place="inside", dtype="float16")
  assert signature["weights"] == {"place": "inside", "dtype": "float16", "files": []}
  assert {path.name for path in (tmp_path / "inside").iterdir()} == {PROGRAM, SIGNATURE}
  inputs = arrays(function, size)
  rounded = {n: np.asarray(x, np.float16) for n, x in function.weights.items()}
  expected = beside.call(jax.tree.map(np.float32, rounded), *inputs)
  np.testing.assert_allclose(inside.call(*inputs)["pooled"], expected["pooled"], atol=1e-5)
  large = {"encoder/x": np.broadcast_to(np.float32(0), (10**5, 10**5))}
  with pytest.raises(UserError, match=r"40.0 GB of weights, expected beside"):
    write_program(tmp_path, function._replace(weights=large), **HOW | {"place": "inside"})


def test_the_signature_says_what_goes_in_and_comes_out(tmp_path):
  objective, _ = CASES["gpt"]
  function, program, signature = made(tmp_path, objective, dtype="bfloat16", max_shard_size=200)
  assert [(one["name"], one["shape"], one["dtype"]) for one in signature["inputs"]] == [
    ("tokens", ["b", "t"], "int32"),
    ("segments", ["b", "t"], "int32"),
  ]
  assert {one["name"]: one["shape"] for one in signature["outputs"]} == {
    "logits": ["b", 31],
    "pooled": ["b", 8],
    "tokens": ["b", "t", 8],
  }
  assert signature["limits"] == ["t <= 12"] and signature["platforms"] == ["cpu", "cuda", "tpu"]
  files = signature["weights"]["files"]
  assert len(files) > 1 and all((tmp_path / file).is_file() for file in files)
  too_long = np.ones((1, 13), np.int32)
  weights = {name: x.astype(jax.numpy.bfloat16) for name, x in TensorFolder(tmp_path).items()}
  with pytest.raises(ValueError, match="t <= 12|refining shapes"):
    program.call(weights, too_long, too_long)
