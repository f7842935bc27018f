"""Where a step's time goes, by kind of operation, from the profilers of both frameworks.

The profilers' times are of one run with tracing on; on a CPU, PyTorch's are of the thread that
calls, ours of the operations of the compiled program. Both add up to about the time of a step.
"""

import collections
import platform
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PRODUCTS = "matrix products"
ATTENTION = "attention"
GELU = "GELU"
SUMS = "layer norm and sums"
OPTIMIZER = "optimizer"
COPIES = "copies and transpositions"
OTHER = "other"
KINDS = (PRODUCTS, ATTENTION, GELU, SUMS, OPTIMIZER, COPIES, OTHER)

# The first row whose pattern is found decides. Of ours "opcode name op_name" is searched, a
# fusion being named after its result; of PyTorch's the operation's name.
_JAX_KINDS = (
  (r"bhqk|reduce_max", ATTENTION),
  (r"dot_general|dot ", PRODUCTS),
  (r"erf", GELU),
  (r"select_n", OPTIMIZER),
  (r"copy|transpose|concatenate|slice|broadcast", COPIES),
  (r"reduce_sum|rsqrt|norm", SUMS),
)
# Of names of a GPU's kernels, where nothing better is known of them.
_KERNEL_KINDS = (
  (r"fmha|flash|attention|sdpa", ATTENTION),
  (r"gemm|cutlass|nvjet|xmma|cublas|fprop|dgrad|wgrad|conv|matmul", PRODUCTS),
  (r"gelu|erf", GELU),
  (r"adam|multi_tensor", OPTIMIZER),
  (r"copy|transpose|memcpy|memset|Memcpy|Memset|concat|gather|fill|slice", COPIES),
  (r"norm|sum|reduce|red_fused|per_fused", SUMS),
)
_TORCH_KINDS = (
  (r"scaled_dot_product", ATTENTION),
  (r"aten::(mm|addmm|bmm|linear)$|convolution", PRODUCTS),
  (r"gelu", GELU),
  (r"adam|Optimizer", OPTIMIZER),
  (r"copy|cat|gather|fill|zero|clone", COPIES),
  (r"layer_norm|sum|var|mean", SUMS),
)


class Event(NamedTuple):
  """One operation of a step, or all of one name.

  Attributes:
    name: of the instruction, or of the kernel.
    kind: one of KINDS.
    seconds: a step.
  """

  name: str
  kind: str
  seconds: float


def jax_events(run: Callable[[], None], program: str, steps: int) -> list[Event]:
  """What our program does: instructions on a CPU; kernels, by their instructions, on a GPU.

  Args:
    run: takes `steps` steps.
    program: text of the compiled program.
    steps: that `run` takes.
  """
  import jax

  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      run()
    path = next(Path(folder).rglob("*.xplane.pb"))
    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    on_gpu = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    events = [e for plane in on_gpu or planes for line in plane.lines for e in line.events]
    sources, found = _sources(program), []
    for event in events:
      instruction = dict(event.stats).get("hlo_op", "") if on_gpu else event.name
      if instruction in sources:
        kind = _kind(_JAX_KINDS, sources[instruction])
        found.append(Event(event.name, kind, event.duration_ns / 1e9 / steps))
      elif on_gpu:
        kind = _kind(_KERNEL_KINDS, event.name)
        found.append(Event(event.name, kind, event.duration_ns / 1e9 / steps))
  return found


def torch_events(run: Callable[[], None], steps: int) -> list[Event]:
  """What PyTorch's program does: operations, each its own time, on a CPU; kernels on a GPU.

  Args:
    run: takes `steps` steps.
    steps: that `run` takes.
  """
  from torch.profiler import profile

  with profile() as profiler:
    run()
  # Operations are listed beside the kernels that they start: either is the whole time.
  rows = profiler.key_averages()
  kernels = [r for r in rows if r.device_type.name == "CUDA" and r.self_device_time_total]
  if kernels:
    return [
      Event(r.key, _kind(_KERNEL_KINDS, r.key), r.self_device_time_total / 1e6 / steps)
      for r in kernels
    ]
  return [
    Event(r.key, _kind(_TORCH_KINDS, r.key), r.self_cpu_time_total / 1e6 / steps) for r in rows
  ]


def by_kind(events: Sequence[Event]) -> dict[str, float]:
  """Seconds a step of each of KINDS."""
  seconds = dict.fromkeys(KINDS, 0.0)
  for event in events:
    seconds[event.kind] += event.seconds
  return seconds


def longest(events: Sequence[Event], count: int = 15) -> list[tuple[str, float]]:
  """Names that take the most seconds a step, the longest first."""
  seconds: dict[str, float] = collections.defaultdict(float)
  for event in events:
    seconds[event.name] += event.seconds
  return sorted(seconds.items(), key=lambda item: -item[1])[:count]


def jax_matmul_flops(size: int = 2048, tries: int = 10) -> float:
  """FLOP/s of the fastest of some products of float32 matrices."""
  import jax
  import jax.numpy as jnp

  matrix = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
  product = jax.jit(lambda m: m @ m)
  return _fastest(lambda: product(matrix).block_until_ready(), 2 * size**3, tries)


def torch_matmul_flops(device: str, size: int = 2048, tries: int = 10) -> float:
  """The same by PyTorch."""
  import torch

  matrix = torch.randn(size, size, device=device)
  return _fastest(lambda: (matrix @ matrix)[0, 0].item(), 2 * size**3, tries)


def jax_bandwidth(size: int, tries: int = 20) -> float:
  """Bytes a second at which float32 numbers that fill `size` bytes are read; fastest of some."""
  import jax
  import jax.numpy as jnp

  numbers = jnp.ones((size // 4,), jnp.float32)
  total = jax.jit(jnp.sum)
  return _fastest(lambda: total(numbers).block_until_ready(), size, tries)


def torch_bandwidth(size: int, tries: int = 20) -> float:
  """The same by PyTorch."""
  import torch

  numbers = torch.ones(size // 4)
  return _fastest(lambda: numbers.sum().item(), size, tries)


def processor() -> str:
  """The processor's name."""
  path = Path("/proc/cpuinfo")
  lines = path.read_text().splitlines() if path.is_file() else []
  names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
  return names[0] if names else platform.machine()


def show(accounts: Mapping[str, Mapping[str, float]]) -> None:
  """Prints accounts as columns of a table, in milliseconds."""
  print("| kind | " + " | ".join(accounts) + " |")
  print("| --- |" + " ---: |" * len(accounts))
  for kind in KINDS:
    print(f"| {kind} | " + " | ".join(f"{a[kind] * 1e3:.1f}" for a in accounts.values()) + " |")
  print("| sum | " + " | ".join(f"{sum(a.values()) * 1e3:.1f}" for a in accounts.values()) + " |")


def _sources(program: str) -> dict[str, str]:
  """From each instruction's name to what `_JAX_KINDS` are searched in; loops contain others."""
  found = {}
  for line in program.splitlines():
    head = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = .*? ([\w\-]+)\(", line)
    if head and head[2] not in ("while", "call", "conditional"):
      source = re.search(r'op_name="([^"]*)"', line)
      # The end of the path says what it is; "transpose(jvp())" on the way means the gradient.
      path = source[1].split("/")[-2:] if source else []
      path = [part for part in path if not part.endswith(")")]
      found[head[1]] = f"{head[2]} {head[1]} {'/'.join(path)}"
  return found


def _kind(kinds: tuple[tuple[str, str], ...], source: str) -> str:
  return next((kind for pattern, kind in kinds if re.search(pattern, source)), OTHER)


def _fastest(run: Callable[[], object], operations: int, tries: int) -> float:
  times = []
  for _ in range(tries):
    start = time.perf_counter()
    run()
    times.append(time.perf_counter() - start)
  return operations / min(times)
