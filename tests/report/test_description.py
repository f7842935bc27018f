"""A run is described from its metadata alone, in no time, whatever is in it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import their_folders
from flax import nnx
from ml_collections import ConfigDict

import pretrainjax as pj
from pretrainjax.checkpoint.array_names import describe_arrays
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.checkpoint.sealed import digest
from pretrainjax.config import build, recipe, spec
from pretrainjax.config.text import to_json
from pretrainjax.errors import UserError
from pretrainjax.evaluators.results import Row, append_results
from pretrainjax.models.heads import Head
from pretrainjax.models.resnet import ResNet
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.split import abstract_split
from pretrainjax.objectives.supervised.classification import Classification

ROOT = Path(__file__).parents[2]
MADE_WITH = {
  "data": {"dots": {"examples": {"train": 60, "test": 10}, "records": "abc123", "files": "f"}},
  "code": {"version": "0.1.0", "source": "0123"},
}


def config(backbone: ConfigDict, width: int) -> ConfigDict:
  head = recipe(Head, in_dim=width, num_classes=4)
  objective = spec(Classification, backbone=backbone, head=head, num_classes=4)
  whole = {"seed": 0, "objective": objective, "train": {"ema_decay": 0.9}}
  whole |= {"data": {"datasets": "dots", "split": "train"}, "optimizer": {"name": "adamw"}}
  return ConfigDict(whole | {"evals": {"knn": {"k": 20}, "probe": {"every": 0}}})


def written(workdir: Path, step: int, state, stored: ConfigDict) -> Path:
  """A step of which there is only metadata, and a file of a terabyte that takes no room."""
  meta = {"step": step, "fingerprint": {}, "arrays": describe_arrays(state), "jax": "0.10"}
  plain = json.loads(to_json(stored))
  meta |= {"layout": "8 devices of 1 process", "config": digest(plain), "made_with": MADE_WITH}
  folder = workdir / "checkpoints" / str(step)
  for item, value in (("config", plain), ("meta", meta | {"seal": digest(meta)})):
    (folder / item).mkdir(parents=True)
    (folder / item / "metadata").write_text(json.dumps(value))
  (folder / "state").mkdir()
  with open(folder / "state" / "d", "wb") as file:
    file.truncate(1 << 40)
  return folder


def state_of(stored: ConfigDict):
  """Shapes of all that a run with Adam and a moving average keeps."""
  _, params, extras = abstract_split(build(stored.objective))
  return {"params": params, "extras": extras, "ema": params, "opt_state": [params, params]}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
  """A ViT of 22 billion parameters, and a ResNet, whose layers are arrays of their own."""
  folder = tmp_path_factory.mktemp("large")
  sizes = {"embed_dim": 6144, "num_layers": 48, "num_heads": 48, "mlp_dim": 24576}
  vit = recipe(ViT, image_size=224, patch_size=14, **sizes)
  for name, made in (("vit", config(vit, 6144)), ("resnet", config(recipe(ResNet), 2048))):
    for step in (1000, 2000):
      written(folder / name, step, state_of(made), made)
  return folder


@pytest.mark.parametrize(("name", "parameters"), [("vit", 217), ("resnet", 0)])
def test_it_takes_less_than_half_a_second_at_any_size(name, parameters, large):
  start = time.perf_counter()
  found = pj.describe(large / name)
  seconds = time.perf_counter() - start
  assert seconds < 0.5
  _, params, extras = abstract_split(build(found.config.objective))
  for part in ("encoder", "head"):
    assert found.parts[part].parameters == sum(x.size for x in jax.tree.leaves(params[part]))
  assert found.parameters // 100_000_000 == parameters
  others = sum(x.size for x in jax.tree.leaves(extras))
  assert found.parts["encoder"].others == others and (others > 0) == (name == "resnet")


def test_neither_jax_nor_a_backend_is_started(large):
  """In a process of its own, imports and all."""
  code = "import sys, pretrainjax as pj; print(pj.describe(sys.argv[1])); assert 'jax' not in"
  command = [sys.executable, "-c", f"{code} sys.modules", str(large / "vit")]
  ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  assert ended.returncode == 0, ended.stderr
  assert "step 2000; saved too: 1000" in ended.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run as training makes it, with what was measured."""
  workdir = tmp_path_factory.mktemp("runs") / "small"
  vit = recipe(ViT, image_size=8, patch_size=4, embed_dim=8, num_layers=1, num_heads=2, mlp_dim=8)
  made = config(vit, 8)
  _, *shapes = abstract_split(build(made.objective))
  params, extras = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  with Checkpoints(workdir, made_with=MADE_WITH) as checkpoints:
    for step in (3, 5):
      checkpoints.save(step, {"params": params, "extras": extras}, config=made)
      checkpoints.note(step, evaluators=["knn"], numbers={"knn/top1": 0.1 * step})
  rows = [("trained", 5, 0.75), ("trained", 3, 0.5), ("random-init", None, 0.25)]
  append_results(
    workdir / "evaluation" / "results.jsonl",
    [
      Row(
        evaluator="probe",
        metric="top1",
        value=value,
        encoder=encoder,
        checkpoint=str(workdir),
        step=step,
        protocol={"split": "test", "l2": 0.1},
      )
      for encoder, step, value in rows
    ],
  )
  return workdir


def test_its_fields_are_plain(run):
  found = pj.describe(run)
  assert (found.step, found.steps, found.damaged) == (5, (5, 3), {})
  assert found.objective == "Classification" and list(found.parts) == ["encoder", "head"]
  encoder = found.parts["encoder"]
  assert encoder.architecture == "ViT" and encoder.config.embed_dim == 8
  assert encoder.dtypes == ("float32",) and encoder.bytes == 4 * encoder.parameters
  assert found.ema_decay == 0.9 and found.config.seed == 0
  assert found.data["dots"]["examples"] == {"train": 60, "test": 10}
  assert found.numbers == {"knn/top1": 0.5} and found.protocols["knn"].k == 20
  (row,) = found.results
  assert row.value == 0.75 and row.protocol == {"split": "test", "l2": 0.1}
  assert pj.describe(f"{run}@3").numbers["knn/top1"] == pytest.approx(0.3)
  assert list(pj.describe(f"{run}:head").parts) == ["head"]


def test_printed_it_is_a_page(run):
  page = str(pj.describe(run))
  assert max(map(len, page.splitlines())) <= 100 + len(str(run))
  for line in (
    f"run        {run}, step 5; saved too: 3",
    "objective  Classification: num_classes=4",
    "data       datasets=dots, split=train",
    "           dots: 60 train + 10 test, abc123",
    "measured   knn/top1 0.5",
    "evaluated  probe/top1 0.75 (split=test, l2=0.1)",
    "made with  pretrainjax 0.1.0, jax ",
  ):
    assert line in page


def test_what_is_not_there_is_said(run):
  for reference, said in {
    f"{run}@4": r"has not checkpoint 4; saved: \[5, 3\]",
    f"{run}:haed": "has no part 'haed'; did you mean 'head'",
    str(run.parent): "no run's folder, checkpoints/ is missing",
  }.items():
    with pytest.raises(UserError, match=said):
      pj.describe(reference)


def test_damaged_metadata_is_passed_over_and_told(large, tmp_path):
  made = pj.describe(large / "vit").config
  for step in (1, 2):
    folder = written(tmp_path, step, {"params": {"w": jnp.zeros((2, 3), jnp.bfloat16)}}, made)
  (folder / "meta" / "metadata").write_text("{}")
  found = pj.describe(tmp_path)
  assert found.step == 1 and set(found.damaged) == {2} and "damaged    step 2: " in str(found)
  assert found.parts["w"].parameters == 6 and found.parts["w"].bytes == 12
  with pytest.raises(UserError, match="no checkpoint has intact metadata .step 2: checksum"):
    pj.describe(f"{tmp_path}@2")


@pytest.mark.parametrize("arrays", [7, {"params.w": "float32[-1]", "params.v": 3, "": "x"}])
def test_metadata_that_lies_does_no_harm(arrays, tmp_path):
  folder = written(tmp_path, 1, {}, ConfigDict({"objective": 3, "train": None, "data": 7}))
  meta = json.loads((folder / "meta" / "metadata").read_text()) | {"arrays": arrays}
  meta |= {"made_with": {"data": 3, "code": [1]}}
  meta["seal"] = digest({key: value for key, value in meta.items() if key != "seal"})
  (folder / "meta" / "metadata").write_text(json.dumps(meta))
  if isinstance(arrays, int):
    with pytest.raises(UserError, match="lists no arrays"):
      pj.describe(tmp_path)
  else:
    found = pj.describe(tmp_path)
    assert found.parameters == 0 and found.parts == {} and "made with" in str(found)


def test_a_model_of_transformers_is_described_without_its_weights(tmp_path):
  folder = their_folders.make(tmp_path / "model", dtype="F16", transformers_version="5.1")
  found, loaded = pj.describe(f"hf:{folder}"), pj.load(f"hf:{folder}")
  assert (found.source, found.step, found.steps, found.results) == ("hf", 0, (), ())
  assert found.config == loaded.config and list(found.parts) == ["encoder", "head"]
  for name, part in loaded.parts.items():
    told = found.parts[name]
    count = sum(x.size for x in jax.tree.leaves(nnx.state(part.module)))
    assert (told.parameters, told.others, told.bytes) == (count, 0, 2 * count)
    assert told.config == part.config and told.dtypes == ("float16",)
  page = repr(found).splitlines()
  assert page[0] == f"model      hf:{folder}" and "BERT: vocab_size=11" in page[1]
  assert page[-1] == "made with  BertForMaskedLM of transformers 5.1"
  assert list(pj.describe(f"hf:{folder}:head").parts) == ["head"]
  with pytest.raises(UserError, match="the model has no part 'hed'; did you mean 'head'"):
    pj.describe(f"hf:{folder}:hed")
  with open(folder / "model.safetensors", "r+b") as file:
    file.seek(-4, 2)
    file.write(b"\xff" * 4)
  assert pj.describe(f"hf:{folder}").parameters == found.parameters, "no number is looked at"


@pytest.mark.parametrize(
  ("name", "reason"),
  [("cls.predictions.bias", "missing tensors cls.predictions.bias"), (None, "unknown tensors")],
)
def test_a_model_with_other_tensors_is_refused_as_when_it_is_loaded(name, reason, tmp_path):
  tensors = their_folders.tensors_of("BertForMaskedLM")
  tensors["extra"] = tensors.pop(name or "cls.predictions.bias")
  if name:
    del tensors["extra"]
  their_folders.make(tmp_path / "model", tensors=tensors)
  for read in (pj.describe, pj.load):
    with pytest.raises(UserError, match=reason):
      read(f"hf:{tmp_path}/model")
