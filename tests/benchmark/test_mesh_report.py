"""A mesh's row, of the one device that is here; several are in test_simulate.py."""

import pytest

from pretrainjax.benchmark.mesh_report import report_mesh, run_on_mesh
from pretrainjax.config.text import flatten, load_config
from pretrainjax.errors import UserError

MLP = "configs/finetune/image/mlp_fashion_mnist.py:smoke"
ONE = {"data": 1, "fsdp": 1, "tensor": 1, "context": 1}


def test_one_device_sends_nothing():
  config = load_config(MLP)
  before = flatten(config)
  report = report_mesh(config, ONE)
  assert report.mesh == ONE and report.rows == config.data.batch_size
  assert report.memory["params"] == 4 * report.num_params
  assert report.wire_bytes == 0 and report.exchanges == []
  assert report.state_bytes < report.memory["total"]
  assert flatten(config) == before, "the config is the caller's"


def test_a_config_without_a_mesh_gets_one():
  config = load_config(MLP)
  del config.parallel
  assert run_on_mesh(config, ONE).parallel.mode == "jit"


def test_a_mesh_of_other_devices_is_refused():
  with pytest.raises(UserError, match="does not make 1 devices"):
    run_on_mesh(load_config(MLP), ONE | {"fsdp": 2})
