"""A run as a function of arrays, weights first: what becomes a program that needs no code of ours.

outputs = call(weights, *inputs)    all but `inputs` by name
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import export
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.config.objects import build
from pretrainjax.errors import UserError, nearest
from pretrainjax.models.image_encoder import ImageEncoder
from pretrainjax.models.text_encoder import TextEncoder
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.split import abstract_split, split
from pretrainjax.types import Encoder, Text

BATCH, LENGTH = "b", "t"
_ANY_SIZE = ("h", "w")


class Input(NamedTuple):
  """One array that a function reads.

  Attributes:
    name: the name of the argument.
    shape: the size of each axis; a letter where any size will do.
    dtype: the dtype of the array.
    meaning: what it holds, in words.
  """

  name: str
  shape: tuple[int | str, ...]
  dtype: str
  meaning: str


class Function(NamedTuple):
  """A function of arrays.

  Attributes:
    call: (weights by name, inputs in order) -> "pooled", "tokens", and predictions by name.
    weights: all that `call` reads of the weights, by name.
    inputs: what it reads beside them.
    limits: what holds of the letters in their shapes, such as "t <= 512".
    held: the networks that `call` computes.
    left: the run's networks that it does not.
    encoder: the encoder whose features it gives.
  """

  call: Callable[..., dict[str, jax.Array]]
  weights: Mapping[str, Any]
  inputs: tuple[Input, ...]
  limits: tuple[str, ...]
  held: tuple[str, ...]
  left: tuple[str, ...]
  encoder: Encoder


def function_of(
  loaded: Loaded, *, part: str | None, dtype: str | None = None, allow: tuple[str, ...] = ()
) -> Function:
  """The function that a run's networks compute: features, and what the objective predicts of them.

  Args:
    loaded: the run, loaded without a part.
    part: the encoder that the reference names, which is then all; None is the objective's own.
    dtype: the dtype of the computation; None is that of the run.
    allow: the packages beside ours whose classes the run's config may name.

  Raises:
    UserError: for a part that is no encoder of images or texts, or networks without that dtype.
  """
  objective, parts = loaded.objective, loaded.parts
  if part is not None and part not in parts:
    raise UserError(f"--workdir: the run has no part '{part}'{nearest(part, parts)}")
  graphdef, *arrays = split(loaded.module)
  if dtype is not None:
    objective = _computing_in(loaded.config.objective, dtype, allow)
    graphdef = abstract_split(objective)[0]
  rows, structure = jax.tree_util.tree_flatten_with_path(arrays)
  names = ["/".join(str(key.key) for key in path[1:]) for path, _ in rows]
  leaves = dict(zip(names, (leaf for _, leaf in rows), strict=True))
  encoder = objective.encoder(loaded.module) if part is None else parts[part].module
  inputs, limits = _inputs(encoder)

  def call(weights: Mapping[str, Any], *given: Any) -> dict[str, jax.Array]:
    # The others are not read, and stay out of the program.
    cast = {name: _as_leaf(weight, leaves[name]) for name, weight in weights.items()}
    module = nnx.merge(graphdef, *structure.unflatten([(leaves | cast)[name] for name in names]))
    now = objective.encoder(module) if part is None else objective.parts(module)[part]
    encoded = now(Text(*given) if isinstance(now, TextEncoder) else given[0])
    predicted = {} if part is not None else objective.predictions(module, encoded)
    return {"pooled": encoded.pooled, "tokens": encoded.tokens} | predicted

  read = _read(call, leaves, [_example(one) for one in inputs])
  weights = {name: leaves[name] for name in names if name in read}
  held = {name.split("/")[0] for name in weights}
  left = {name.split("/")[0] for name in names} - held
  return Function(call, weights, inputs, limits, tuple(sorted(held)), tuple(sorted(left)), encoder)


def symbolic_inputs(function: Function) -> list[jax.ShapeDtypeStruct]:
  """The inputs of a function with symbols of `jax.export` where any size will do."""
  scope = export.SymbolicScope(function.limits)
  shapes = [", ".join(map(str, one.shape)) for one in function.inputs]
  return [
    jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), one.dtype)
    for shape, one in zip(shapes, function.inputs, strict=True)
  ]


def _computing_in(recipes: ConfigDict, dtype: str, allow: tuple[str, ...]) -> Objective:
  """The objective with networks that compute in another dtype."""
  changed, found = recipes.copy_and_resolve_references(), False
  for name in changed:
    if isinstance(changed[name], ConfigDict) and "dtype" in changed[name]:
      changed[name].dtype, found = dtype, True
  if not found:
    raise UserError(f"--compute_dtype: found '{dtype}', but no network of the run has a dtype")
  return build(changed, path="config.objective", allow=allow)


def _as_leaf(value: Any, leaf: Any) -> jax.Array:
  return jnp.asarray(value).astype(leaf.dtype)


def _inputs(encoder: Any) -> tuple[tuple[Input, ...], tuple[str, ...]]:
  """What an encoder reads, and what holds of its letters."""
  if isinstance(encoder, TextEncoder):
    shape = (BATCH, LENGTH)
    rows = [
      Input("tokens", shape, "int32", f"token ids, below {encoder.vocab_size}"),
      Input("segments", shape, "int32", "1 for tokens, 0 for padding"),
    ]
    if getattr(encoder, "num_types", 0) > 1:
      rows.append(Input("types", shape, "int32", "0 for the first text of a row, 1 for the second"))
    return tuple(rows), (f"{LENGTH} <= {encoder.max_length}",)
  if not isinstance(encoder, ImageEncoder):
    kind = type(encoder).__name__
    raise UserError(f"--workdir: found a {kind}, expected an ImageEncoder or a TextEncoder")
  *sizes, channels = encoder.image_shape
  shape = [BATCH, *(s or any_size for s, any_size in zip(sizes, _ANY_SIZE, strict=True)), channels]
  return (Input("images", tuple(shape), "uint8", "pixels, which are scaled inside"),), ()


def _example(one: Input) -> jax.ShapeDtypeStruct:
  """An input of some size."""
  sizes = {BATCH: 2, LENGTH: 1} | dict.fromkeys(_ANY_SIZE, 64)
  return jax.ShapeDtypeStruct([sizes.get(s, s) for s in one.shape], one.dtype)


def _read(call: Callable, leaves: Mapping[str, Any], inputs: list[jax.ShapeDtypeStruct]) -> set:
  """The names of the leaves that a function computes with."""
  hollow = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in leaves.items()}
  jaxpr = jax.make_jaxpr(call)(hollow, *inputs).jaxpr
  used = {v for equation in jaxpr.eqns for v in equation.invars if not hasattr(v, "val")}
  variables = zip(sorted(hollow), jaxpr.invars[: len(hollow)], strict=True)
  return {name for name, variable in variables if variable in used}
