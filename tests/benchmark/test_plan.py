"""Which meshes are tried, and what is said of them."""

import dataclasses

import pytest

from pretrainjax.benchmark.chips import find_chip
from pretrainjax.benchmark.mesh_report import MeshReport
from pretrainjax.benchmark.plan import Row, candidate_meshes, fits, mesh_name, plan_json, plan_text
from pretrainjax.config.text import load_config
from pretrainjax.errors import UserError

GIB = 2**30
REPORT = MeshReport(
  mesh={"data": 2, "fsdp": 4, "tensor": 1, "context": 1},
  num_params=1_000_000,
  rows=16,
  memory={
    "params": 1 * GIB,
    "optimizer": 2 * GIB,
    "extras": 0,
    "arguments": 3 * GIB,
    "outputs": 3 * GIB,
    "aliased": 3 * GIB,
    "temporaries": 17 * GIB,
    "total": 20 * GIB,
  },
  kept=6 * GIB,
  flops=1e12,
  collectives={"all-reduce": {"count": 1, "array_bytes": GIB, "wire_bytes": 1.5 * GIB}},
  exchanges=[],
  compile_seconds=2.0,
)


def named(config, num_devices):
  return [mesh_name(axes) for axes in candidate_meshes(config, num_devices)]


def test_the_configs_own_mesh_comes_first():
  config = load_config("configs/pretrain/image/mae_vit_fashion_mnist.py")
  assert named(config, 1) == ["one device"]
  assert named(config, 8) == [
    "data=8",
    "data=4 fsdp=2",
    "data=2 fsdp=4",
    "fsdp=8",
    "fsdp=4 tensor=2",
  ]
  assert named(config, 6) == ["data=6", "data=3 fsdp=2", "fsdp=6", "fsdp=3 tensor=2"]
  config.parallel.mesh.fsdp = 4
  assert named(config, 8)[:2] == ["data=2 fsdp=4", "data=8"]
  assert len(set(named(config, 8))) == len(named(config, 8))
  config.parallel.mesh.fsdp = 1
  config.parallel.mode = "pmap"
  assert named(config, 8) == ["data=8"]


def test_long_rows_may_be_cut():
  assert "fsdp=4 context=2" in named(load_config("configs/pretrain/text/llama_135m.py"), 8)
  assert "fsdp=4 context=2" not in named(load_config("configs/pretrain/text/bert_sotu.py"), 8)


def test_an_impossible_mesh_is_the_users_mistake():
  config = load_config("configs/pretrain/image/mae_vit_fashion_mnist.py")
  config.parallel.mesh.fsdp = 3
  with pytest.raises(UserError, match="fsdp=3.*does not make 8 devices"):
    candidate_meshes(config, 8)


def test_verdicts():
  assert fits(REPORT, 20 * GIB) == "yes"
  # 3 of state, 1 of gradients, 6 for the backward pass.
  assert fits(REPORT, 10 * GIB) == "perhaps"
  assert fits(REPORT, 10 * GIB - 1) == "no"


def test_the_table_says_what_fits():
  small = dataclasses.replace(REPORT, memory=REPORT.memory | {"total": GIB})
  rows = [
    Row(REPORT.mesh, REPORT),
    Row({"data": 8}, small),
    Row({"tensor": 8}, UserError("3 heads")),
  ]
  text = plan_text(rows, chip_name="v5e", usable=14 * GIB, num_devices=8)
  lines = text.splitlines()
  assert lines[0].startswith("1,000,000 parameters, 16 rows a device")
  cells = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
  assert "perhaps" in cells["data=2 fsdp=4"] and "20.00" in cells["data=2 fsdp=4"]
  assert "yes" in cells["data=8"]
  assert "refused" in cells["tensor=8"] and "tensor=8: refused: 3 heads" in lines
  assert "fits v5e: data=8" in lines
  assert any("simulated" in line for line in lines)
  assert any("accumulate" in line for line in lines), "the config's own mesh does not fit"

  values = plan_json(rows, chip=find_chip("v5e"), usable=14 * GIB, num_devices=8)
  assert [mesh.get("fits") for mesh in values["meshes"]] == ["perhaps", "yes", None]
  assert values["meshes"][2] == {"mesh": {"tensor": 8}, "refused": "3 heads"}
  assert values["simulated"] and values["chip"]["memory_gib"] == 16
