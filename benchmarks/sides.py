"""The sides of a comparison of training steps: ours, and a model of transformers in PyTorch.

Either takes loss, gradient and AdamW on batches that lie on the device already, and says what a
step costs. A process holds one side, see `alternate`.
"""

import contextlib
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import account
import numpy as np
from alternate import seconds_per_step

# Of the text of a compiled program that runs cuDNN's attention.
FUSED_ATTENTION = "__cudnn$fmha"


def handlers(side: Any) -> dict[str, Callable[..., Any]]:
  """What a process serves for one of the sides below."""
  return {
    "time": lambda steps: seconds_per_step(side.run, steps),
    "about": lambda: side.about,
    "account": side.account,
  }


class OurSteps:
  """The step of `pretrainjax.pretrain`, compiled.

  Args:
    objective: what is minimised.
    optimizer: an `Optimizer`.
    batch: arrays of the host by name.
    alone: held while XLA compiles, since it chooses kernels by timing them on the device.
  """

  def __init__(
    self,
    objective: Any,
    optimizer: Any,
    batch: Mapping[str, np.ndarray],
    *,
    alone: contextlib.AbstractContextManager = contextlib.nullcontext(),
  ):
    import jax

    from pretrainjax.train.parallel import Parallel

    parallel = Parallel()
    init, make_step, num_parameters = _program(
      objective, optimizer, rows=len(next(iter(batch.values())))
    )
    self._state, self._batch = parallel.make(init), parallel.put(batch)
    flops = _product_flops(parallel.program(make_step(), self._state), self._state, self._batch)
    lowered = parallel.program(make_step(), self._state).lower(self._state, self._batch)
    start = time.perf_counter()
    with alone:
      self._step = lowered.compile()
    self._text = self._step.as_text()
    self._about = {
      "compile_seconds": time.perf_counter() - start,
      "flops": flops,
      "num_parameters": num_parameters,
      "fused_attention": self._text.count(FUSED_ATTENTION),
      "device": jax.devices()[0].device_kind,
      "version": f"jax {jax.__version__}",
    }
    self.run(2)

  def run(self, steps: int) -> None:
    """Takes steps and waits for them."""
    for _ in range(steps):
      self._state, metrics = self._step(self._state, self._batch)
    self._loss = float(metrics["loss"])

  @property
  def params(self) -> Any:
    """The parameters as they are now."""
    return self._state.params

  @property
  def about(self) -> dict[str, Any]:
    """Parameters, operations of a step, seconds of compilation, memory, the last loss, versions.

    On a GPU the peak is the program's, as compiled: the allocator's has autotuning in it.
    """
    import jax

    on_gpu = jax.default_backend() == "gpu"
    peak = on_gpu and _program_bytes(self._step)
    return self._about | {"loss": self._loss, "peak_bytes": peak or _resident_bytes()}

  def account(self) -> dict[str, Any]:
    """The fastest matrix product, seconds by kind of operation, and the longest operations."""
    events = account.jax_events(lambda: self.run(3), self._text, 3)
    return _accounted(account.jax_matmul_flops(), events)


class TorchSteps:
  """A model of transformers with fused AdamW.

  Args:
    model: training, on the host.
    batches: arguments of the model by name, arrays of the host; they are taken in turn.
    adamw: arguments of torch.optim.AdamW.
    dtype: bfloat16 computes by autocast.
    compiled: by torch.compile.
    dynamic: its argument, for batches of many shapes.
  """

  def __init__(
    self,
    model: Any,
    batches: Sequence[Mapping[str, np.ndarray]],
    *,
    adamw: Mapping[str, Any],
    dtype: str,
    compiled: bool,
    dynamic: bool | None = None,
  ):
    import torch

    self._torch, self._device = torch, "cuda" if torch.cuda.is_available() else "cpu"
    self._autocast = dtype != "float32"
    model = model.to(self._device)
    self._optimizer = torch.optim.AdamW(model.parameters(), fused=True, **adamw)
    self._batches = [
      {name: torch.from_numpy(array).to(self._device) for name, array in batch.items()}
      for batch in batches
    ]
    trained = [p for p in model.parameters() if p.requires_grad]
    self._num_parameters = sum(p.numel() for p in trained)
    self._attention, self._compiled = model.config._attn_implementation, compiled
    self._model = torch.compile(model, dynamic=dynamic) if compiled else model
    self._next = 0
    start = time.perf_counter()
    self.run(1)
    self._compile_seconds = time.perf_counter() - start
    self.run(max(3, len(self._batches)))
    if self._device == "cuda":
      torch.cuda.reset_peak_memory_stats()  # autotuning's are not the step's

  def run(self, steps: int) -> None:
    """Takes steps and waits for them."""
    for _ in range(steps):
      batch = self._batches[self._next % len(self._batches)]
      self._next += 1
      self._optimizer.zero_grad(set_to_none=True)
      with self._torch.autocast(self._device, self._torch.bfloat16, enabled=self._autocast):
        loss = self._model(**batch).loss
      loss.backward()
      self._optimizer.step()
    self._loss = loss.item()

  @property
  def about(self) -> dict[str, Any]:
    """Parameters, seconds of the first step, memory, the last loss, versions."""
    cuda = self._torch.cuda
    on_gpu = self._device == "cuda"
    return {
      "compile_seconds": self._compile_seconds,
      "num_parameters": self._num_parameters,
      "attention": self._attention,
      "compiled": self._compiled,
      "peak_bytes": cuda.max_memory_allocated() if on_gpu else _resident_bytes(),
      "loss": self._loss,
      "device": cuda.get_device_name() if on_gpu else "cpu",
      "version": f"torch {self._torch.__version__}",
    }

  def account(self) -> dict[str, Any]:
    """The fastest matrix product, seconds by kind of operation, and the longest operations."""
    events = account.torch_events(lambda: self.run(3), 3)
    return _accounted(account.torch_matmul_flops(self._device), events)


def _accounted(matmul_flops: float, events: Sequence[account.Event]) -> dict[str, Any]:
  kinds, longest = account.by_kind(events), account.longest(events)
  return {"matmul_flops": matmul_flops, "account": kinds, "longest": longest}


def check_equal_sizes(about: Mapping[str, Mapping[str, Any]]) -> None:
  """Ends the program where the sides' answers name unequal numbers of trained parameters."""
  counts = {side: answers["num_parameters"] for side, answers in about.items()}
  if len(set(counts.values())) > 1:
    raise SystemExit(f"these are not the same models: trained parameters {counts}")


def force_attention(kernel: str) -> Callable:
  """Makes all attention of this process use one kernel; before anything is compiled.

  The library has no switch for it, since `pick_kernel` knows better; a comparison must.

  Returns:
    The `pick_kernel` of before.
  """
  from pretrainjax.models.layers import attention

  before, attention.pick_kernel = attention.pick_kernel, lambda **_: kernel
  return before


def _product_flops(program: Callable, state: Any, batch: Any) -> float:
  """Products of a step, each once: fused attention, which makes scores again, is not counted so."""
  from pretrainjax.models.layers import attention
  from pretrainjax.train.flops import count_flops

  before = force_attention("einsum")
  try:
    return count_flops(program, state, batch)
  finally:
    attention.pick_kernel = before


def _program(objective: Any, optimizer: Any, *, rows: int) -> tuple[Callable, Callable, int]:
  """What makes the state, what makes a step, each traced anew, and how many numbers are trained."""
  import functools
  import math

  import jax

  from pretrainjax.objectives.split import abstract_split
  from pretrainjax.train.state import init_state
  from pretrainjax.train.step import make_train_step

  graphdef, params, _ = abstract_split(objective)
  tx, rate = optimizer.build(params, total_steps=1000, batch_size=rows, num_examples=rows)
  init = functools.partial(init_state, objective, tx, seed=0, with_ema=False)
  options = {"learning_rate": rate, "total_steps": 1000}
  make_step = functools.partial(make_train_step, objective, graphdef, tx, **options)
  return init, make_step, sum(math.prod(x.shape) for x in jax.tree.leaves(params))


def _program_bytes(compiled: Any) -> int | None:
  """Memory that a compiled step needs, its arguments among it; None where JAX does not say."""
  memory = compiled.memory_analysis()
  if memory is None:
    return None
  arguments, results = memory.argument_size_in_bytes, memory.output_size_in_bytes
  return arguments + results - memory.alias_size_in_bytes + memory.temp_size_in_bytes


def _resident_bytes() -> int:
  """The most that this process ever held."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
