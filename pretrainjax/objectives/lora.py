"""Fine-tuning by low-rank updates: any objective, with most of its networks held fixed."""

import dataclasses
import fnmatch
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.errors import UserError, nearest
from pretrainjax.models.layers.attention import Attention
from pretrainjax.models.layers.lora import LORA_A, LORA_B, LoRALinear, merged_kernel
from pretrainjax.models.layers.mlp import Mlp
from pretrainjax.objectives.base import Objective, WholeBatchObjective
from pretrainjax.objectives.teacher import TeacherParam
from pretrainjax.ranges import NonNegativeInt, PositiveFloat, Rate, check_ranges
from pretrainjax.types import Batch, Encoded, Encoder, Metrics


@dataclasses.dataclass(frozen=True)
class LoRA:
  """Which linear layers get a low-rank update, see `models.layers.lora.LoRALinear`.

      W' = W + (alpha / rank) A B

  What is trained is A and B of these layers, and every network in which there are none: a new head.

  Args:
    rank: the width of the updates; 0 switches them off, and all is trained.
    alpha: the scale of an update is alpha / rank; None is `rank`, a scale of 1.
    dropout: rate on what an update reads, for layers of attention and perceptrons alone.
    layers: patterns of linear layers by their names in the objective's module,
      "encoder/blocks/attention/query"; "*" also crosses "/". A stack of layers is one name.
    trained: patterns of parameters that are trained beside A and B; None takes all of the networks
      without updates.

  Reference: LoRA, arXiv 2106.09685; the default layers are those of its section 4.2.

  >>> LoRA(rank=4, alpha=8.0).scale
  2.0
  """

  rank: NonNegativeInt = 0
  alpha: PositiveFloat | None = None
  dropout: Rate = 0.0
  layers: tuple[str, ...] = ("*attention/query", "*attention/value")
  trained: tuple[str, ...] | None = None

  def __post_init__(self):
    check_ranges(self)

  @property
  def scale(self) -> float:
    """What the product of A and B is multiplied by."""
    return (self.rank if self.alpha is None else self.alpha) / self.rank

  def adapt(self, module: nnx.Module, *, rngs: nnx.Rngs) -> None:
    """Puts updates into the layers of a module, in place.

    Args:
      module: the module of an objective, as its `init` made it.
      rngs: keys for the initial values of A.

    Raises:
      UserError: for a pattern that fits no linear layer, or dropout where no keys come.
    """
    found = [(path, layer) for path, layer in _linear_layers(module)]
    names = ["/".join(map(str, path)) for path, _ in found]
    for pattern in self.layers:
      if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
        hint = nearest(pattern, names)
        raise UserError(f"config.lora.layers: '{pattern}' fits no linear layer{hint}")
    for (path, layer), name in zip(found, names, strict=True):
      if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.layers):
        self._adapt_layer(module, path, layer, rngs)

  def _adapt_layer(self, module: Any, path: tuple, layer: nnx.Linear, rngs: nnx.Rngs) -> None:
    above = [module]
    for key in path[:-1]:
      above.append(_child(above[-1], key))
    if self.dropout > 0 and not isinstance(above[-1], (Attention, Mlp)):
      raise UserError(
        f"config.lora.dropout: found {self.dropout} with {'/'.join(map(str, path))}, expected 0, "
        "or layers of attention and perceptrons alone: others are called without random keys"
      )
    alpha = self.scale * self.rank
    new = LoRALinear(layer, rank=self.rank, alpha=alpha, dropout=self.dropout, rngs=rngs)
    _put(above[-1], path[-1], new)
    for one in above:
      if self.dropout > 0 and hasattr(one, "is_random"):
        one.is_random = True  # so that stacks ask for keys


def merge(module: nnx.Module) -> None:
  """Puts plain layers in the place of those with updates, in place, with W + scale A B in them.

  Args:
    module: a module of `Adapted`, or a part of one.
  """
  for path, layer in list(_linear_layers(module)):
    if isinstance(layer, LoRALinear):
      _put(functools.reduce(_child, path[:-1], module), path[-1], layer.merged())


def merge_arrays(arrays: Mapping[str, Any], *, scale: float) -> dict[str, Any]:
  """The same as `merge` for the arrays of a module, nested dicts.

  Args:
    arrays: the arrays of a module with updates, or of a part of it.
    scale: alpha / rank of the updates.
  """
  merged = {
    name: merge_arrays(value, scale=scale) if isinstance(value, Mapping) else value
    for name, value in arrays.items()
    if name not in (LORA_A, LORA_B)
  }
  if LORA_A in arrays:
    kernel, a, b = (jnp.asarray(arrays[name]) for name in ("kernel", LORA_A, LORA_B))
    merged["kernel"] = merged_kernel(kernel, a, b, scale=scale)
  return merged


@dataclasses.dataclass(frozen=True)
class Adapted(Objective):
  """An objective whose module has low-rank updates: the same loss, of fewer trained parameters.

  Attributes:
    objective: the objective that is adapted.
    lora: which layers have updates.
  """

  objective: Any
  lora: LoRA

  def init(self, *, rngs: nnx.Rngs) -> nnx.Module:
    module = self.objective.init(rngs=rngs)
    follows = type(self.objective).after_update is not Objective.after_update
    if follows and jax.tree.leaves(nnx.state(module, TeacherParam)):
      raise UserError(
        f"config.lora.rank: found {self.lora.rank}, expected 0: the teacher of "
        f"{type(self.objective).__name__} follows all parameters of its student"
      )
    params = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = ["/".join(str(key.key) for key in path) for path, _ in leaves]
    for pattern in self.lora.trained or ():
      if not any(_lies_under(name, pattern) for name in names):
        hint = nearest(pattern, names)
        raise UserError(f"config.lora.trained: '{pattern}' fits no parameter{hint}")
    self.lora.adapt(module, rngs=rngs)  # after all else, whose initial values stay what they were
    return module

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    return self.objective.loss(module, batch, rngs=rngs, step=step)

  def check(self, data: Any) -> None:
    self.objective.check(data)

  def after_update(
    self, module: nnx.Module, *, step: int | Int[Array, ""], progress: float | Float[Array, ""]
  ) -> None:
    self.objective.after_update(module, step=step, progress=progress)

  def encoder(self, module: nnx.Module) -> Encoder:
    return self.objective.encoder(module)

  def parts(self, module: nnx.Module) -> dict[str, nnx.Module]:
    return self.objective.parts(module)

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, "B *N"]]:
    return self.objective.predictions(module, encoded)

  def after_load(self, module: nnx.Module) -> None:
    self.objective.after_load(module)

  def is_trained(self, path: tuple[str, ...]) -> bool:
    if not self.objective.is_trained(path):
      return False
    if path[-1] in (LORA_A, LORA_B):
      return True
    if self.lora.trained is None:
      return path[0] not in self._networks_with_updates
    name = "/".join(map(str, path))
    return any(_lies_under(name, pattern) for pattern in self.lora.trained)

  @functools.cached_property
  def _networks_with_updates(self) -> frozenset[str]:
    module = nnx.eval_shape(lambda: self.init(rngs=nnx.Rngs(0)))
    found = _linear_layers(module)
    return frozenset(path[0] for path, layer in found if isinstance(layer, LoRALinear))


class AdaptedWholeBatch(Adapted, WholeBatchObjective):
  """The same for an objective that compares the examples of a batch."""

  def represent(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> dict[str, Float[Array, "B *F"]]:
    return self.objective.represent(module, batch, rngs=rngs, step=step)

  def compare(
    self, module: nnx.Module, found: dict[str, Float[Array, "B *F"]]
  ) -> tuple[Float[Array, ""], Metrics]:
    return self.objective.compare(module, found)


def adapted(objective: Objective, lora: LoRA | None) -> Objective:
  """An objective with low-rank updates, or as it is where they are switched off.

  Args:
    objective: the objective of a run.
    lora: which layers have updates; None has none.
  """
  if lora is None or lora.rank == 0:
    return objective
  kind = AdaptedWholeBatch if isinstance(objective, WholeBatchObjective) else Adapted
  return kind(objective, lora)


def _lies_under(name: str, pattern: str) -> bool:
  """Whether a pattern fits a parameter's name, or something that it lies under."""
  return any(fnmatch.fnmatchcase(name, one) for one in (pattern, f"{pattern}/*"))


def _linear_layers(module: nnx.Module) -> Iterator[tuple[tuple, nnx.Linear]]:
  """The linear layers whose kernels are parameters, by their paths."""
  for path, layer in nnx.iter_modules(module):
    if isinstance(layer, nnx.Linear) and isinstance(layer.kernel, nnx.Param):
      yield path, layer


def _child(module: Any, key: Any) -> Any:
  return module[key] if isinstance(key, int) else getattr(module, key)


def _put(module: Any, key: Any, layer: nnx.Module) -> None:
  if isinstance(key, int):
    module[key] = layer
  else:
    setattr(module, key, layer)
