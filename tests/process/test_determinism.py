"""Flags of XLA, and what is refused because nobody can promise it."""

import binaries
import pytest
from ml_collections import ConfigDict

from pretrainjax.errors import UserError
from pretrainjax.process.determinism import check_device, is_wanted, xla_flags

GPU = {"version": "cuda 12090", "num_devices": 1, "started_before": False, "environ": {}}


@pytest.mark.parametrize(
  ("before", "after"),
  [
    ("", "--xla_gpu_deterministic_ops=true"),
    ("--xla_a=1", "--xla_a=1 --xla_gpu_deterministic_ops=true"),
    ("--xla_gpu_deterministic_ops", "--xla_gpu_deterministic_ops"),
    ("--xla_gpu_deterministic_ops=true -b", "--xla_gpu_deterministic_ops=true -b"),
    (
      "--xla_gpu_exclude_nondeterministic_ops=1",
      "--xla_gpu_exclude_nondeterministic_ops=1 --xla_gpu_deterministic_ops=true",
    ),
  ],
)
def test_the_flag_is_added_once(before, after):
  assert xla_flags(before) == after


@pytest.mark.parametrize(
  "flag", ["--xla_gpu_deterministic_ops=false", "--xla_gpu_exclude_nondeterministic_ops=0"]
)
def test_a_contrary_flag_is_refused(flag):
  with pytest.raises(UserError, match=rf"found {flag} in \$XLA_FLAGS, expected none"):
    xla_flags(f"--xla_a=1 {flag}")


def test_one_gpu_and_any_cpu_or_tpu_are_promised():
  check_device("gpu", **GPU)
  for platform in ("cpu", "tpu"):
    check_device(platform, **GPU | {"num_devices": 64, "started_before": True})


@pytest.mark.parametrize(
  ("platform", "changes", "message"),
  [
    ("gpu", {"version": "rocm 60300"}, "found devices of 'rocm', expected cpu, NVIDIA gpu or tpu"),
    ("METAL", {}, "found devices of 'METAL'"),
    ("gpu", {"started_before": True}, "JAX had started before"),
    ("gpu", {"num_devices": 8}, "8 GPUs .* fix it with NCCL_ALGO=Ring NCCL_PROTO=Simple in"),
    ("gpu", {"num_devices": 8, "environ": {"NCCL_ALGO": "Tree"}}, "with NCCL_PROTO=Simple in"),
  ],
)
def test_what_cannot_be_promised_is_refused(platform, changes, message):
  with pytest.raises(UserError, match=message):
    check_device(platform, **GPU | changes)
  check_device(
    "gpu", **GPU | {"num_devices": 8, "environ": {"NCCL_ALGO": "Ring", "NCCL_PROTO": "LL"}}
  )


@pytest.mark.parametrize(
  ("config", "wanted"),
  [
    ({"train": {"deterministic": True}}, True),
    ({"train": {"deterministic": False}}, False),
    ({"train": {}}, False),
    ({"evals": {}}, False),
  ],
)
def test_the_config_asks_for_it(config, wanted):
  assert is_wanted(ConfigDict(config)) is wanted


def test_the_binary_sets_the_flag_before_jax_starts(capsys, monkeypatch, tmp_path):
  """A contrary one of the user's ends it in a line, before anything is computed."""
  monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false")
  switch = "--config.train.deterministic=true"
  ended = binaries.call(
    capsys, "pretrain", f"--config={binaries.MAE}", f"--workdir={tmp_path}", switch
  )
  assert ended.status == 2
  assert ended.errors == [
    "pretrain: error: --config.train.deterministic: found --xla_gpu_deterministic_ops=false in "
    "$XLA_FLAGS, expected none"
  ]
