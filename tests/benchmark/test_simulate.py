"""Meshes of devices that are not here."""

import pytest

from pretrainjax.benchmark import simulate
from pretrainjax.benchmark.mesh_report import MeshReport
from pretrainjax.benchmark.simulate import has_devices, report_meshes
from pretrainjax.config.text import load_config
from pretrainjax.errors import UserError

MLP = "configs/finetune/image/mlp_fashion_mnist.py:smoke"


def mesh(**sizes):
  return {"data": 1, "fsdp": 1, "tensor": 1, "context": 1} | sizes


@pytest.fixture(scope="module")
def reports():
  config = load_config(MLP)
  meshes = [mesh(data=4), mesh(fsdp=4), mesh(fsdp=3)]
  return list(report_meshes(config, meshes, num_devices=4))


@pytest.mark.repeat
def test_the_state_is_cut_by_fsdp_alone(reports):
  data, fsdp, _ = reports
  assert isinstance(data, MeshReport) and isinstance(fsdp, MeshReport)
  assert data.mesh == mesh(data=4) and fsdp.mesh == mesh(fsdp=4)
  assert data.num_params == fsdp.num_params
  assert data.memory["params"] == 4 * data.num_params
  for part in ("params", "optimizer"):
    assert data.memory[part] / 4 <= fsdp.memory[part] < data.memory[part] / 2.5
  assert data.state_bytes - fsdp.state_bytes <= data.memory["arguments"] - fsdp.memory["arguments"]
  assert data.flops == fsdp.flops and data.rows == fsdp.rows == 4
  assert data.kept == fsdp.kept


@pytest.mark.repeat
def test_gradients_are_summed_where_parameters_are_whole(reports):
  data, fsdp, _ = reports
  gradients = 4 * data.num_params
  assert gradients <= data.collectives["all-reduce"]["array_bytes"] < 1.05 * gradients
  assert set(data.collectives) == {"all-reduce"}
  kernel = 4 * 28 * 28 * 512  # the only array that is large enough to be cut
  assert fsdp.collectives["all-gather"]["array_bytes"] == kernel
  assert fsdp.collectives["reduce-scatter"]["array_bytes"] == kernel
  assert fsdp.collectives["all-reduce"]["array_bytes"] < gradients / 10
  assert sum(row["wire_bytes"] for row in data.exchanges) == pytest.approx(data.wire_bytes)
  assert {tuple(row["group"]) for row in data.exchanges} == {(0, 1, 2, 3)}


@pytest.mark.repeat
def test_a_mesh_that_does_not_fit_is_refused_alone(reports):
  assert isinstance(reports[2], UserError)
  assert "fsdp=3" in str(reports[2]) and "4 devices" in str(reports[2])


def test_a_failure_of_ours_leaves_the_other_meshes_alone(monkeypatch):
  def fail(config, axes):
    if axes["data"] == 1:
      raise TypeError("no such\nthing")
    raise UserError("data")

  monkeypatch.setattr(simulate, "report_mesh", fail)
  found = list(report_meshes(load_config(MLP), [mesh(), mesh(data=2)], num_devices=1))
  assert [type(f) for f in found] == [RuntimeError, UserError]
  assert str(found[0]) == "TypeError: no such thing"


def test_what_is_here():
  assert has_devices(1) and not has_devices(2)


@pytest.mark.slow
def test_with_more_devices_and_rows_nobody_sends_more_parameters():
  """Weak scaling: what is gathered is parameters, not rows of other devices."""
  config = load_config("configs/pretrain/text/llama_135m.py:smoke")
  config.objective.backbone.update({"embed_dim": 128, "mlp_dim": 256, "vocab_size": 1024})
  gathered = []
  for data in (2, 4):
    config.data.batch_size = 4 * 2 * data
    (report,) = report_meshes(config, [mesh(data=data, fsdp=2)], num_devices=2 * data)
    assert isinstance(report, MeshReport), report
    gathered.append(report.collectives["all-gather"]["array_bytes"])
  assert gathered[0] == gathered[1]
