"""Workdirs of November 2026 still load, go on and are fine-tuned, to the numbers of then.

A failure here is a checkpoint of somebody's that no longer opens: mend the code, never the folder.
"""

import json

import binaries
import numpy as np
import pytest
import synthetic

import pretrainjax as pj
from tests.old_workdirs.make import DATASETS, HERE, SIZES, inputs, unpack

FINETUNE = {"mae": "image/vit_fashion_mnist", "gpt": "text/gpt_responses"}
LABELS = {"mae": "fashion_mnist", "gpt": "prompts"}
NAMES = sorted(DATASETS)
QUICK = "--config.train.tracking.tensorboard=false"


def expected(name: str) -> dict:
  return json.loads((HERE / f"{name}_expected.json").read_text())


def files(folder) -> dict:
  """What a reader must leave as it is."""
  return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_loads(name, tmp_path, caplog):
  workdir = unpack(name, tmp_path)
  before = files(workdir)
  loaded = pj.load(workdir)
  assert loaded.step == 2 and loaded.config.seed == 3
  pooled = np.asarray(pj.load_encoder(workdir)(inputs(name)).pooled)
  np.testing.assert_allclose(pooled, expected(name)["pooled"], atol=1e-5)
  assert files(workdir) == before and "DAMAGED" not in caplog.text


@pytest.mark.parametrize("name", ["mae", pytest.param("gpt", marks=pytest.mark.repeat)])
def test_goes_on(name, tmp_path, capsys, caplog):
  workdir, data = unpack(name, tmp_path), tmp_path / "data"
  synthetic.prepare(DATASETS[name], data, sizes=SIZES)
  config = f"--config={HERE / f'{name}_config.py'}"
  ended = binaries.call(capsys, "pretrain", config, f"--workdir={workdir}", f"--data_dir={data}")
  assert ended.status == 0, ended.errors
  assert "going on from step 2 of 4" in ended.out
  assert not (workdir / "quarantine").exists() and "DAMAGED" not in caplog.text
  rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  losses = {str(row["step"]): row["loss"] for row in rows if "loss" in row}
  assert losses == pytest.approx(expected(name)["losses"], rel=1e-4)


@pytest.mark.repeat
@pytest.mark.parametrize("name", NAMES)
def test_is_fine_tuned(name, tmp_path, capsys):
  workdir, data = unpack(name, tmp_path), tmp_path / "data"
  synthetic.prepare(LABELS[name], data)
  before = files(workdir)
  ended = binaries.call(
    capsys,
    "finetune",
    f"--config={binaries.ROOT}/configs/finetune/{FINETUNE[name]}.py:smoke",
    f"--config.init={workdir}",
    f"--workdir={tmp_path / 'tuned'}",
    f"--data_dir={data}",
    QUICK,
  )
  assert ended.status == 0, ended.errors
  assert "step 2: loaded " in ended.out
  assert pj.load(tmp_path / "tuned").step == 2
  assert files(workdir) == before
