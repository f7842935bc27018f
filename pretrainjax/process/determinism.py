"""Deterministic runs, bit for bit the same for one config: `config.train.deterministic`.

A run's numbers depend on config, data, jaxlib, kind of device, and how many devices and processes
there are; on nothing else, where the device computes the same sum in the same order each time.

* CPU: it does, with this switch or without.
* TPU: it does, for all that is known; XLA has no switch. Not measured here.
* NVIDIA GPU: by default kernels are chosen by timing and some add in any order. The switch sets
  `--xla_gpu_deterministic_ops=true`, which excludes such kernels and chooses without timing; XLA
  then refuses what has no other kernel, such as the gradient of max pooling. Not measured here.
* Other devices: nothing is known, and the switch is refused.
"""

import re
from collections.abc import Mapping

from ml_collections import ConfigDict

from pretrainjax.errors import UserError

KEY = "--config.train.deterministic"
# It implies --xla_gpu_exclude_nondeterministic_ops; both are in jaxlib 0.4.29 and later.
_FLAG = "--xla_gpu_deterministic_ops"
_CONTRARY = (_FLAG, "--xla_gpu_exclude_nondeterministic_ops")
# Otherwise NCCL chooses them anew at each start.
_NCCL = {"NCCL_ALGO": "Ring", "NCCL_PROTO": "Simple"}


def is_wanted(config: ConfigDict) -> bool:
  """Whether a config asks for determinism; configs of other binaries have no `train`."""
  train = config.get("train")
  return bool(isinstance(train, ConfigDict) and train.get("deterministic", False))


def xla_flags(before: str) -> str:
  """The value of $XLA_FLAGS with what determinism needs, which JAX reads when it starts.

  Args:
    before: the present value of the variable.

  Returns:
    The new value.

  Raises:
    UserError: where the present value switches determinism off.
  """
  for name in _CONTRARY:
    found = re.findall(rf"{name}(?:=(\S+))?(?=\s|$)", before)
    if any(value.lower() not in ("", "true", "1") for value in found):
      raise UserError(f"{KEY}: found {name}={found[-1]} in $XLA_FLAGS, expected none")
  return before if re.search(rf"{_FLAG}(=|\s|$)", before) else f"{before} {_FLAG}=true".strip()


def check_device(
  platform: str,
  *,
  version: str,
  num_devices: int,
  started_before: bool,
  environ: Mapping[str, str],
) -> None:
  """Refuses devices on which the same bits cannot be promised.

  Args:
    platform: the platform of the devices, as JAX calls it.
    version: the version of the platform, as XLA calls it.
    num_devices: the number of devices of the run.
    started_before: whether JAX had found its devices before `xla_flags` were set.
    environ: the environment variables of the process.

  Raises:
    UserError: naming what was found, and what to set.
  """
  if platform in ("cpu", "tpu"):
    return
  if platform != "gpu" or "rocm" in version.lower():
    name = "rocm" if platform == "gpu" else platform
    raise UserError(f"{KEY}: found devices of '{name}', expected cpu, NVIDIA gpu or tpu")
  if started_before:
    raise UserError(f"{KEY}: JAX had started before; expected {_FLAG}=true in $XLA_FLAGS from then")
  missing = [f"{name}={value}" for name, value in _NCCL.items() if not environ.get(name)]
  if num_devices > 1 and missing:
    raise UserError(
      f"{KEY}: {num_devices} GPUs add by NCCL, which chooses how at each start; fix it with "
      f"{' '.join(missing)} in the environment"
    )
