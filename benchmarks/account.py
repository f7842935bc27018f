"""Where a step's time goes, by kind of operation, from the profilers of both frameworks.

The profilers' times are of one run with tracing on; on a CPU, PyTorch's are of the thread that
calls, ours of the operations of the compiled program. Both add up to about the time of a step.
"""

import collections
import platform
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

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
_TORCH_KINDS = (
  (r"scaled_dot_product", ATTENTION),
  (r"aten::(mm|addmm|bmm|linear)$|convolution", PRODUCTS),
  (r"gelu", GELU),
  (r"adam|Optimizer", OPTIMIZER),
  (r"copy|cat|gather|fill|zero|clone", COPIES),
  (r"layer_norm|sum|var|mean", SUMS),
)


def of_jax(run: Callable[[], None], program: str, steps: int) -> dict[str, float]:
  """Seconds a step by kind of our program.

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
    planes = jax.profiler.ProfileData.from_file(str(path)).planes
    events = [event for plane in planes for line in plane.lines for event in line.events]
    sources = _sources(program)
    found = [(e.name, e.duration_ns) for e in events if e.name in sources]
  seconds: dict[str, float] = collections.defaultdict(float)
  for name, duration in found:
    seconds[_kind(_JAX_KINDS, sources[name])] += duration / 1e9 / steps
  return {kind: seconds[kind] for kind in KINDS}


def of_torch(run: Callable[[], None], steps: int) -> dict[str, float]:
  """Seconds a step by kind of PyTorch's program: each operation's own time, on a GPU its kernels'.

  Args:
    run: takes `steps` steps.
    steps: that `run` takes.
  """
  from torch.profiler import profile

  with profile() as profiler:
    run()
  seconds: dict[str, float] = collections.defaultdict(float)
  for event in profiler.key_averages():
    own = event.self_device_time_total or event.self_cpu_time_total
    seconds[_kind(_TORCH_KINDS, event.key)] += own / 1e6 / steps
  return {kind: seconds[kind] for kind in KINDS}


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
