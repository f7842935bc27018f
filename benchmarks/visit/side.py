"""What the processes of a visit serve: one side of one model, or the checks."""

import contextlib
import dataclasses
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alternate import seconds_per_step
from sides import OurSteps, TorchSteps
from visit.models import SWEEP, SWEEP_TINY, Model, models, unseen_flops

OURS, PEER = "ours", "peer"


def step_handlers(side: str, name: str, *, sizes: str, dtype: str, lock: Path) -> dict[str, Any]:
  """Answers of one side of one model: "make" it, "time" its steps, "about", "account".

  Args:
    side: "ours" or "peer".
    name: of the model.
    sizes: "full" or "tiny".
    dtype: of the computation.
    lock: a file; whoever holds its lock has the device for itself.
  """
  model = models(sizes)[name]
  made: list[OurSteps | TorchSteps] = []

  def make() -> None:
    if side == OURS:
      made.append(our_steps(model, dtype=dtype, lock=lock))
    else:  # a compiler for the CPU would take longer than all else
      made.append(torch_steps(model, dtype=dtype, compiled=sizes != "tiny"))

  return {
    "make": make,
    "time": lambda steps: seconds_per_step(made[0].run, steps),
    "about": lambda: made[0].about,
    "account": lambda: made[0].account(),
  }


def our_steps(model: Model, *, dtype: str, lock: Path, **options: Any) -> OurSteps:
  """Our step, compiled; `options` go to the stacks of layers."""
  from visit.models import batch_of, objective_of, optimizer_of

  objective = objective_of(model, dtype=dtype, **options)
  return OurSteps(objective, optimizer_of(model), batch_of(model), alone=alone_on_device(lock))


def torch_steps(model: Model, *, dtype: str, compiled: bool) -> TorchSteps:
  """The peer's step, compiled by its first run."""
  import torch
  from visit.peers import peer_batches, peer_of, torch_adamw

  torch.backends.cuda.matmul.allow_tf32 = True  # as JAX does by default
  peer = peer_of(model, device="cuda" if torch.cuda.is_available() else "cpu")
  options = {"adamw": torch_adamw(model), "dtype": dtype, "compiled": compiled}
  return TorchSteps(peer, peer_batches(model), **options)


def check_handlers(*, sizes: str) -> dict[str, Callable]:
  """Answers about what is right, see `checks` and `kernels`."""
  from visit import checks, kernels

  return {
    "machine": about_machine,
    "float32": lambda name: checks.against_float32(name, sizes=sizes),
    "bits": lambda name: checks.same_bits(name, sizes=sizes),
    "attention": lambda name, kernel, seconds: kernels.compare(
      name, kernel, sizes=sizes, seconds=seconds
    ),
  }


def sweep_handlers(*, sizes: str, lock: Path, dtype: str) -> dict[str, Callable]:
  """Answers about one model at many batches and ways to recompute: seconds a step, memory, MFU."""
  base = SWEEP_TINY if sizes == "tiny" else SWEEP

  def measure(batch: int, remat: str, steps: int) -> dict[str, Any]:
    model = dataclasses.replace(base, batch=batch)
    side = our_steps(model, dtype=dtype, lock=lock, remat=remat)
    seconds = seconds_per_step(side.run, steps)
    return {"seconds": seconds, "unseen_flops": unseen_flops(model), **side.about}

  return {"measure": measure}


def generate_handlers(
  side: str, *, batch: int, sizes: str, dtype: str, folder: Path
) -> dict[str, Callable]:
  """Answers of one side about a GPT that writes: "make" it, "time" it, "about"."""
  import time

  import generate_vs_torch as generate

  size = generate.SIZES["tiny" if sizes == "tiny" else "GPT-2 768 x 12"]
  tokens = 16 if sizes == "tiny" else 128
  about: dict[str, Any] = {"new_tokens": batch * tokens}
  runs: list[Callable] = []

  def make() -> None:
    options: dict[str, Any] = {"batch": batch, "tokens": tokens, "dtype": dtype}
    weights = folder / f"weights-{batch}"
    if side == OURS:
      run, bandwidth, version = generate.ours(size, weights, **options)
    else:
      options |= _peer_device()
      run, bandwidth, version = generate.peer(size, weights, **options)
    start = time.perf_counter()
    about["tokens"] = run()
    about["first_seconds"] = time.perf_counter() - start
    about.update(bandwidth=bandwidth, version=version, weight_bytes=size.weight_bytes)
    runs.append(run)

  def repeat(times: int) -> None:
    for _ in range(times):
      runs[0]()

  return {
    "make": make,
    "time": lambda steps: seconds_per_step(repeat, steps),
    "about": lambda: about,
  }


def _peer_device() -> dict[str, Any]:
  import torch

  on_gpu = torch.cuda.is_available()
  return {"device": "cuda", "compiled": True} if on_gpu else {"device": "cpu"}


def about_machine() -> dict[str, Any]:
  """What JAX runs on, and the chip's dense bfloat16 peak in FLOP/s, None where it is not known."""
  import jax
  import jaxlib

  from pretrainjax.train.flops import peak_flops

  device = jax.devices()[0]
  return {
    "backend": jax.default_backend(),
    "device": device.device_kind,
    "peak_flops": peak_flops(device.device_kind),
    "runtime": " ".join(device.client.platform_version.split()),
    "versions": f"jax {jax.__version__}, jaxlib {jaxlib.__version__}",
  }


@contextlib.contextmanager
def alone_on_device(lock: Path) -> Iterator[None]:
  """Waits for a lock that one process at a time holds."""
  with lock.open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield
