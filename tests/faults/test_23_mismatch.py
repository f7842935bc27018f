"""A checkpoint of other shapes, dtypes or layers than the config wants.

A table of path, saved and wanted; nothing is cast, padded or cut, and no file is touched.
"""

import time

import binaries
import pytest

from pretrainjax.checkpoint.manager import Checkpoints

BLOCK = "params.encoder.blocks.mlp.up.kernel"
# Flags, and what stands in the table: path, saved, wanted.
CHANGES = {
  "fewer layers": (
    ["--config.objective.backbone.num_layers=1"],
    (BLOCK, "float32[2, 16, 64]", "float32[1, 16, 64]"),
  ),
  "another width": (
    ["--config.objective.backbone.mlp_dim=48"],
    (BLOCK, "float32[2, 16, 64]", "float32[2, 16, 48]"),
  ),
  "no average": (
    ["--config.train.ema_decay=0.9"],
    ("ema.encoder.blocks.mlp.up.kernel", "absent", "float32[2, 16, 64]"),
  ),
}


def content(workdir):
  folder = workdir / "checkpoints"
  return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def row(path: str, saved: str, wanted: str) -> list[str]:
  return f"{path} {saved} {wanted}".split()


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "expected"), CHANGES.values(), ids=CHANGES)
def test_going_on_under_another_config(flags, expected, capsys, caplog, finished, tmp_path, trial):
  workdir = finished.copy(tmp_path / "run")
  before, start = content(workdir), time.monotonic()
  command = finished.command(workdir, *flags, "--allow_config_change")
  ended = binaries.call(capsys, "pretrain", *command)
  assert ended.status == 2, ended
  assert ended.errors[-1].startswith(f"pretrain: error: {workdir}/checkpoints/4: ")
  assert " not fit: " in ended.errors[-1]
  table = [line.split() for line in caplog.text.splitlines()]
  assert ["path", "saved", "wanted"] in table and row(*expected) in table, caplog.text
  assert content(workdir) == before and not (workdir / "quarantine").exists()
  trial(seconds=time.monotonic() - start)


@pytest.mark.slow
def test_another_dtype_is_not_cast(capsys, caplog, finished, tmp_path, trial):
  """No config makes parameters of other dtypes; other code may have."""
  import jax
  import jax.numpy as jnp

  workdir = finished.copy(tmp_path / "run")
  with Checkpoints(workdir) as checkpoints:
    config, state = checkpoints.config(4), checkpoints.arrays(4)
    state["params"] = jax.tree.map(lambda x: x.astype(jnp.bfloat16), state["params"])
    checkpoints.save(5, state, config=config)
  start = time.monotonic()
  ended = binaries.call(capsys, "pretrain", *finished.command(workdir))
  assert ended.status == 2 and f"{workdir}/checkpoints/5: " in ended.errors[-1], ended
  table = [line.split() for line in caplog.text.splitlines()]
  assert row(BLOCK, "bfloat16[2, 16, 64]", "float32[2, 16, 64]") in table
  config = f"--config={binaries.ROOT / 'configs/evaluate/image/fashion_mnist.py'}:smoke"
  where = (f"--workdir={workdir}", f"--data_dir={finished.data}")
  assert binaries.call(capsys, "evaluate", config, *where).status == 2
  trial(seconds=time.monotonic() - start)
