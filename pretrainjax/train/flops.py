"""How much of the chip a step uses: floating-point operations, peaks, and their ratio (MFU)."""

import math
from collections.abc import Callable
from typing import Any

import jax

# Dense peaks in FLOP/s of one jax device, bfloat16 with float32 accumulation (float16 where
# a chip has no bfloat16 units). The first row whose words are all in `device_kind`, in lower
# case, holds. GPUs: NVIDIA's data sheets, without the factor 2 that these claim for sparsity;
# figures are of the SXM boards unless the row says otherwise. TPUs: the chip's page of Google
# Cloud's "TPU architecture"; a jax device is half a chip on v2 and v3.
_PEAKS = (
  (("b200",), 2.25e15),  # HGX B200 data sheet: 4.5 PFLOPS sparse
  (("h200", "nvl"), 835e12),  # H200 data sheet
  (("h200",), 989e12),  # H200 data sheet: 1979 sparse
  (("gh200",), 989e12),  # GH200 data sheet: 1979 sparse
  (("h100", "pcie"), 756e12),  # H100 data sheet: 1513 sparse
  (("h100", "nvl"), 835e12),  # H100 NVL data sheet: 1671 sparse
  (("h100",), 989e12),  # H100 data sheet: 1979 sparse
  (("h800",), 989e12),  # as H100, with slower links
  (("a100",), 312e12),  # A100 data sheet
  (("a800",), 312e12),  # as A100, with slower links
  (("a40",), 149.7e12),  # A40 data sheet
  (("a30",), 165e12),  # A30 data sheet
  (("a10g",), 70e12),  # A10G: AWS G5 page, the A10's chip at a lower clock
  (("a10",), 125e12),  # A10 data sheet
  (("l40s",), 362e12),  # L40S data sheet: 733 sparse
  (("l40",), 181e12),  # L40 data sheet
  (("l4",), 121e12),  # L4 data sheet: 242 sparse
  (("v100", "pcie"), 112e12),  # V100 data sheet, float16
  (("v100",), 125e12),  # V100 data sheet, float16
  (("t4",), 65e12),  # T4 data sheet, float16
  (("rtx 4090",), 165.2e12),  # Ada whitepaper, appendix A, float32 accumulation
  (("rtx 3090",), 71e12),  # GA102 whitepaper, table 9, float32 accumulation
  (("tpu v6 lite",), 918e12),
  (("tpu v6e",), 918e12),
  (("tpu v5 lite",), 197e12),
  (("tpu v5e",), 197e12),
  (("tpu v5",), 459e12),  # v5p reports itself as "TPU v5"
  (("tpu v4 lite",), 138e12),
  (("tpu v4",), 275e12),
  (("tpu v3",), 61.5e12),
  (("tpu v2",), 22.5e12),
)


def peak_flops(device_kind: str) -> float | None:
  """The dense bfloat16 peak of one jax device in FLOP/s, None where it is not known (any CPU).

  Args:
    device_kind: the name that `jax.Device.device_kind` gives.
  """
  words = device_kind.lower().replace("-", " ").split()
  kind = " ".join(words)
  if set(words) & {"mig", "laptop", "ti", "d"}:  # a slice of a chip, or another chip's name
    return None
  for row, peak in _PEAKS:
    if all(part in words or (" " in part and part in kind) for part in row):
      return peak
  return None


def model_flops_utilization(flops: float | None, step_seconds: float | None) -> float | None:
  """The share of the chip's peak that a step reaches; None where something is not known.

  Operations that remat repeats are counted, so with remat this is what others call HFU.

  Args:
    flops: the FLOPs of one step on one device.
    step_seconds: the seconds that a step takes.
  """
  peak = peak_flops(jax.devices()[0].device_kind)
  if peak is None or not flops or not step_seconds:
    return None
  return flops / step_seconds / peak


def count_flops(function: Callable, *args: Any) -> float:
  """The FLOPs of all matrix products and convolutions of a call, over all devices, by tracing it.

  Unlike the compiler's count, which takes the body of a loop once (measured on CPU: 4 and 12
  scanned layers get the same number), it multiplies scanned layers by their number, and it sees
  through fused attention. Whatever is not a product is left out, as usual for MFU; loops
  of unknown length count once, and of branches the dearest counts.

  Args:
    function: the function to trace: plain, jitted or pmapped, but not compiled.
    *args: its arguments, arrays or ShapeDtypeStructs.
  """
  return _count(jax.make_jaxpr(function)(*args).jaxpr)


def _count(jaxpr: Any) -> float:
  return sum((_count_equation(equation) for equation in jaxpr.eqns), 0.0)


def _count_equation(equation: Any) -> float:
  name, params = equation.primitive.name, equation.params
  shapes = [v.aval.shape for v in equation.invars if hasattr(v.aval, "shape")]
  if name == "dot_general":
    (contracted, _), _ = params["dimension_numbers"]
    return 2.0 * _size(equation.outvars[0]) * math.prod(shapes[0][axis] for axis in contracted)
  if name == "conv_general_dilated":
    features = shapes[1][params["dimension_numbers"].rhs_spec[0]]
    # Dilation of the input is zeros, which no kernel worth its name multiplies.
    dense = math.prod(shapes[1]) / features / math.prod(params["lhs_dilation"])
    return 2.0 * _size(equation.outvars[0]) * dense
  if name.startswith("dot_product_attention"):
    return _count_attention(name, shapes, params["layout"])
  inner = [_count(j) for value in params.values() for j in _jaxprs(value)]
  if name == "cond":
    return max(inner)
  if name == "scan":
    return params["length"] * sum(inner, 0.0)
  if name == "shard_map":
    return params["mesh"].size * sum(inner, 0.0)
  return sum(inner, 0.0)


def _count_attention(name: str, shapes: list[tuple[int, ...]], layout: int) -> float:
  """cudnn's attention: two products forward, five backward (scores are made again)."""
  batch, *middle, head_dim = shapes[0]
  tokens_axis = 2 if layout == 1 else 1  # jax: BTNH is 0, BNTH is 1
  heads, keys = middle[0 if layout == 1 else 1], shapes[1][tokens_axis]
  products = 5 if "bwd" in name else 2
  return products * 2.0 * batch * heads * shapes[0][tokens_axis] * keys * head_dim


def _size(variable: Any) -> int:
  return math.prod(variable.aval.shape)


def _jaxprs(value: Any) -> list[Any]:
  values = value if isinstance(value, (tuple, list)) else (value,)
  found = [getattr(v, "jaxpr", v) for v in values]  # a ClosedJaxpr holds a Jaxpr
  return [v for v in found if hasattr(v, "eqns")]
