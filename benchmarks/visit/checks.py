"""Is what the device computes right? Our losses and gradients against references in float32.

Served to `gpu_visit.py`, one question at a time; each answer says what was measured, its limit, and
whether it was kept.
"""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from visit.models import Model, batch_of, objective_of, optimizer_of

CHECKED = {
  "MAE": Model("mae", 8, 224, variant="Ti/16"),
  "masked LM": Model("bert", 8, 256, 256, 2, 4, 1024),
  "causal LM": Model("gpt", 8, 256, 256, 2, 4, 1024),
  "causal LM, packed": Model("gpt", 8, 256, 256, 2, 4, 1024, packed=True),
  "T5": Model("t5", 8, 256, 256, 2, 4, 1024),
  "SimCLR": Model("simclr", 16, 64, variant="10"),
}
TINY_CHECKED = {
  "MAE": Model("mae", 4, 32, variant="tiny"),
  "causal LM, packed": Model("gpt", 4, 32, 32, 2, 2, 128, packed=True),
}
# Relative errors, of the loss and of the gradient as one vector. float32 with exact products
# differs by the order of sums; bfloat16 keeps 8 bits, and errors of many layers add up.
LIMITS = {"float32": (1e-5, 1e-3), "bfloat16": (2e-2, 1e-1)}
# On the gradient of SimCLR: ReLU and BatchNorm on a small batch turn small errors into large ones.
SIMCLR_LIMITS = {"float32": (1e-4, 1e-2), "bfloat16": (5e-2, 5e-1)}
STEPS = 3


def checked(sizes: str) -> dict[str, Model]:
  """The models that are checked, by name."""
  return TINY_CHECKED if sizes == "tiny" else CHECKED


def against_float32(name: str, *, sizes: str) -> dict[str, Any]:
  """Loss and gradient on the device, in float32 and in bfloat16, against float32 on the CPU.

  The CPU is where our numbers are held to PyTorch's and to the papers' by the test suite.
  """
  model = checked(sizes)[name]
  limits = SIMCLR_LIMITS if model.kind == "simclr" else LIMITS
  device, cpu = jax.devices()[0], jax.local_devices(backend="cpu")[0]
  with jax.default_matmul_precision("highest"):
    reference = _loss_and_gradient(model, "float32", cpu, kernel="einsum")
    exact = _loss_and_gradient(model, "float32", device, kernel="xla")
  found = {"float32": exact, "bfloat16": _loss_and_gradient(model, "bfloat16", device)}
  rows = {}
  for dtype, (loss, gradient) in found.items():
    errors = (abs(loss / reference[0] - 1), _relative(gradient, reference[1]))
    rows[dtype] = {"loss_error": errors[0], "gradient_error": errors[1], "limits": limits[dtype]}
  kept = all(
    r["loss_error"] <= r["limits"][0] and r["gradient_error"] <= r["limits"][1]
    for r in rows.values()
  )
  return {"loss": reference[0], "errors": rows, "kept": kept}


def same_bits(name: str, *, sizes: str) -> dict[str, Any]:
  """Three steps from one start, by a program that is compiled twice: are all bits the same?

  To be asked in a process whose XLA_FLAGS are those of `train.deterministic`.
  """
  model = checked(sizes)[name]
  digests = []
  for _ in range(2):
    jax.clear_caches()
    digests.append(_digest_after_steps(model))
  return {"steps": STEPS, "digests": digests, "kept": digests[0] == digests[1]}


def _loss_and_gradient(
  model: Model, dtype: str, device: jax.Device, *, kernel: str | None = None
) -> tuple[float, dict[str, np.ndarray]]:
  """Of our objective at its initial parameters, which are drawn on the CPU."""
  from pretrainjax.models.layers import attention
  from pretrainjax.objectives.split import abstract_split, split

  cpu = jax.local_devices(backend="cpu")[0]
  objective = objective_of(model, dtype=dtype)
  with jax.default_device(cpu):
    graphdef, _, _ = abstract_split(objective)
    params, extras = jax.jit(lambda: split(objective.init(rngs=nnx.Rngs(0)))[1:])()
    batch = {name: jnp.asarray(array) for name, array in batch_of(model).items()}

  def loss_of(params: Any, extras: Any, batch: Any) -> jax.Array:
    module = nnx.merge(graphdef, params, extras)
    return objective.loss(module, batch, rngs=nnx.Rngs(1), step=0)[0]

  pick = attention.pick_kernel
  if kernel:
    attention.pick_kernel = lambda **_: kernel
  try:
    arguments = jax.device_put((params, extras, batch), device)
    loss, gradient = jax.jit(jax.value_and_grad(loss_of))(*arguments)
  finally:
    attention.pick_kernel = pick
  flat = jax.tree_util.tree_leaves_with_path(gradient)
  return float(loss), {jax.tree_util.keystr(p): np.asarray(x, np.float64) for p, x in flat}


def _relative(found: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> float:
  """The distance of two gradients, each as one vector, by the reference's length."""
  distance = sum(float(np.sum((found[k] - reference[k]) ** 2)) for k in reference)
  return (distance / sum(float(np.sum(x**2)) for x in reference.values())) ** 0.5


def _digest_after_steps(model: Model) -> str:
  """SHA-256 of all parameters after some steps in bfloat16."""
  from sides import OurSteps

  side = OurSteps(objective_of(model, dtype="bfloat16"), optimizer_of(model), batch_of(model))
  side.run(STEPS)
  digest = hashlib.sha256()
  for array in jax.tree.leaves(side.params):
    digest.update(np.asarray(array).tobytes())
  return digest.hexdigest()
