"""The verbs of `benchmark`, as they are typed."""

import json

import binaries
import pytest

MAE = f"--config={binaries.MAE}"
MLP = f"--config={binaries.ROOT}/configs/finetune/image/mlp_fashion_mnist.py:smoke"


@pytest.fixture
def call(capsys):
  return lambda *arguments: binaries.call(capsys, "benchmark", *arguments)


def refused(ended, *parts):
  assert ended.status == 2 and len(ended.errors) == 1, ended
  for part in parts:
    assert part in ended.errors[0]


def test_mistakes_take_one_line(call):
  assert call().status == 2
  assert "{plan,step,data}" in call("--help").out
  refused(call("plna", MAE), "benchmark: error: no verb 'plna'; did you mean 'plan'?")
  refused(call("plan"), "benchmark plan: error: --config: found nothing")
  refused(call(MAE, "plan", "--chip=h10"), "--chip: found 'h10'; did you mean 'h100'?")
  refused(call("plan", MAE, "--devices=0"), "--devices: found 0")
  refused(call("plan", MAE, "--memory_share=2"), "--memory_share: found 2.0, expected in (0, 1]")
  refused(call("plan", MAE, "--devices=8", "--config.parallel.mesh.fsdp=3"), "fsdp=3", "8 devices")
  refused(call("step", MAE, "--synthetic", "--steps=0"), "--steps: found 0, expected at least 1")
  refused(call("data", MAE, "--seconds=0"), "--seconds: found 0.0")
  refused(call("data", MAE, "--data_dir=nowhere"), "'fashion_mnist' is not in 'nowhere'")


def test_the_verb_may_stand_anywhere(call):
  for arguments in (("plan", MAE), (MAE, "plan"), ("--config", binaries.MAE, "plan")):
    ended = call(*arguments, "--help")
    assert ended.status == 0 and "--chip" in ended.out and "objective.mask_ratio" in ended.out


def test_a_plan_of_what_is_here(call, tmp_path):
  file = tmp_path / "plan.json"
  ended = call("plan", MLP, "--chip=v5e", f"--json={file}")
  assert ended.status == 0, ended.errors
  assert "fits v5e: one device" in ended.out and "simulated" not in ended.out
  values = json.loads(file.read_text())
  (mesh,) = values["meshes"]
  assert mesh["fits"] == "yes" and mesh["memory"]["params"] == 4 * mesh["num_params"]


@pytest.mark.slow
def test_a_plan_of_eight(call):
  ended = call("plan", MAE, "--devices=8", "--config.data.batch_size=16")
  assert ended.status == 0, ended.errors
  assert "Devices are simulated" in ended.out
  assert "fits h100: data=8, data=4 fsdp=2, data=2 fsdp=4, fsdp=8, fsdp=4 tensor=2" in ended.out


def test_steps_without_data_and_the_data_alone(call, tmp_path):
  import synthetic

  step, rate = tmp_path / "step.json", tmp_path / "data.json"
  ended = call("step", MLP, "--synthetic", "--steps=3", "--warmup=1", f"--json={step}")
  assert ended.status == 0, ended.errors
  assert "step time" in ended.out and len(json.loads(step.read_text())["seconds"]) == 3

  synthetic.prepare("fashion_mnist", tmp_path)
  flags = ("--threads=1", "--seconds=0.1", f"--step_json={step}", f"--json={rate}")
  ended = call("data", MLP, *flags, f"--data_dir={tmp_path}")
  assert ended.status == 0, ended.errors
  assert "a step takes" in ended.out
  values = json.loads(rate.read_text())
  assert {1} <= {r["num_threads"] for r in values["rates"]}
  assert all(r["examples_per_second"] > 0 for r in values["rates"])
