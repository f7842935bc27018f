"""Loads the arrays of one part of a run: onto one device, a mesh, or as NumPy."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, Sharding, SingleDeviceSharding
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import (
  Weights,
  abstract,
  built,
  newest_intact,
  no_average,
  open_run,
  tree_of,
  updates_of,
)
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.allowed import packages
from pretrainjax.convert.folder import Opened, open_model, read_arrays
from pretrainjax.convert.table import flatten
from pretrainjax.errors import UserError, nearest, one_line
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.lora import adapted, merge_arrays
from pretrainjax.objectives.split import split
from pretrainjax.train.sharding import spec_of

# Where arrays go: to one sharding for all, by a mesh's axes "fsdp" and "tensor", by name and shape,
# or into the memory of the host.
Placement = Sharding | Mesh | Callable[[str, tuple[int, ...]], Sharding] | Literal["numpy"] | None
# Bytes that are read before they are cast.
_GROUP = 1 << 30
# Keys of nested dicts, numbers where a module holds a list.
_Path = tuple[Any, ...]


def load_params(
  path: str | Path,
  *,
  part: str = "encoder",
  sharding: Placement = None,
  dtype: Any = None,
  step: int | None = None,
  weights: Weights = "auto",
  allow: str | Iterable[str] = (),
) -> dict[str, Any]:
  """Loads the arrays of one part of a run, each straight to where it belongs.

  Only this part is read, every device reads its own share, and what was read is verified. So a part
  that fits no single device can be loaded onto a mesh.

  Args:
    path: the run, "RUN[@STEP][:PART]", or "hf:FOLDER[:PART]", a model that transformers wrote.
    part: the name of the part, unless `path` names one; `describe(path).parts` lists networks.
    sharding: where the arrays go. None is the first device; a jax Sharding is for all arrays; a
      Mesh cuts them by its axes "fsdp" and "tensor" as training does, and copies them along others;
      a function makes the Sharding of an array from its name "blocks/mlp/up/kernel" and shape;
      "numpy" makes NumPy arrays.
    dtype: what floats are cast to, "bfloat16"; None leaves them as they were saved. Arrays are cast
      by the gigabyte, so that they are never all there in both. Low-rank updates are merged before.
    step: the step of the checkpoint; None takes the newest intact one.
    weights: which weights to take, see `load_encoder`.
    allow: the packages beside ours whose classes the run's config may name.

  Returns:
    Nested dicts of arrays, batch statistics among them: what `nnx.to_pure_dict(nnx.state(part))`
    gives. `nnx.update(network, params)` puts them into a network of that kind.

  Raises:
    UserError: for what is not there, a sharding that does not fit, or a dtype that is none.
  """
  reference = Reference.parse(path, step=step)
  name, allow, dtype = reference.part or part, packages(allow), _float(dtype)
  if reference.source == "ct2":
    raise UserError(f"'{reference}': found a model of CTranslate2, expected a run or hf:FOLDER")
  if reference.source == "hf":
    if weights == "ema":
      raise no_average(reference)
    return _imported(open_model(reference.folder), reference, name, sharding, dtype)

  def read(step: int, config: ConfigDict) -> dict[_Path, Any]:
    config, objective = built(config, reference.folder, allow=allow)
    lora = updates_of(config, reference.folder)
    objective = adapted(objective, lora)
    saved_as = _paths_of(objective, reference, name, step=step)
    weights_in = tree_of(weights, checkpoints.trees(step), reference.folder)
    placed = _placed({own: leaf for own, (_, leaf) in saved_as.items()}, sharding)
    arrays = {}
    for group in _groups(placed, whole=dtype is None):
      places = {own: _place(saved_as[own][0], weights_in) for own in group}
      tree = _nested({places[own]: placed[own] for own in group})
      found = checkpoints.some_arrays(step, tree)
      loaded = _nested({own: _leaf(found, places[own]) for own in group})
      loaded = loaded if lora is None else merge_arrays(loaded, scale=lora.scale)
      arrays |= {own: _finished(array, dtype, sharding) for own, array in _leaves(loaded)}
    return arrays

  with open_run(reference) as checkpoints:
    _, _, arrays = newest_intact(checkpoints, reference, read=read)
  return _nested(arrays)


def _imported(
  opened: Opened, reference: Reference, part: str, sharding: Placement, dtype: Any
) -> dict[str, Any]:
  """The arrays of a network that transformers wrote, one at a time in the memory of the host."""
  _, params, extras = opened.abstract
  if part not in params:
    raise UserError(f"'{reference.whole}': the model has no part '{part}'{nearest(part, params)}")
  named = flatten(params[part]) | flatten(extras.get(part, {}))  # statistics of batches
  leaves = {tuple(path.split("/")): leaf for path, leaf in named.items()}
  placed = _placed(leaves, sharding)

  def finish(path: str, leaf: np.ndarray) -> Any:
    leaf = leaf if dtype is None else leaf.astype(dtype)
    _, *inner = path.split("/")
    return leaf if sharding == "numpy" else jax.device_put(leaf, placed[tuple(inner)].sharding)

  return read_arrays(opened, finish=finish, only=f"{part}/")[part]


def _paths_of(
  objective: Objective, reference: Reference, part: str, *, step: int
) -> dict[_Path, tuple[_Path, jax.ShapeDtypeStruct]]:
  """The arrays of a part by their paths in it, each with its path in the state, and its shape."""
  graphdef, *trees = abstract(objective, reference.folder)
  # By identity: a part may be a teacher, and lie anywhere in the module.
  new = [jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree) for tree in trees]
  saved = {}
  for tree, name in zip(new, ("params", "extras"), strict=True):
    saved |= {id(leaf): (name, *map(str, path)) for path, leaf in _leaves(tree)}
  parts = objective.parts(nnx.merge(graphdef, *new))
  if part not in parts:
    run = Reference(reference.folder, step)
    raise UserError(f"{run}: the run has no part '{part}'{nearest(part, parts)}")
  _, params, extras = split(parts[part])
  return {
    path: (saved[id(leaf)], leaf) for tree in (params, extras) for path, leaf in _leaves(tree)
  }


def _placed(
  leaves: Mapping[_Path, jax.ShapeDtypeStruct], sharding: Placement
) -> dict[_Path, jax.ShapeDtypeStruct]:
  """The shapes with their shardings; UserError where one does not fit."""
  placed = {}
  for path, leaf in leaves.items():
    name = "/".join(map(str, path))
    where = _sharding_of(name, leaf, sharding)
    try:
      where.shard_shape(leaf.shape)
      placed[path] = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    except (ValueError, TypeError) as error:
      raise UserError(f"sharding: {name} {list(leaf.shape)}: {one_line(error)[:300]}") from error
  return placed


def _sharding_of(name: str, leaf: jax.ShapeDtypeStruct, sharding: Placement) -> Sharding:
  if sharding is None:
    return SingleDeviceSharding(jax.local_devices()[0])
  if sharding == "numpy":
    return SingleDeviceSharding(jax.local_devices(backend="cpu")[0])
  if isinstance(sharding, Mesh):
    sizes = {"fsdp": 1, "tensor": 1} | dict(sharding.shape)
    return NamedSharding(sharding, spec_of(name, leaf.shape, sizes, key="sharding"))
  found = sharding(name, leaf.shape) if callable(sharding) else sharding
  if not isinstance(found, Sharding):
    raise UserError(
      f"sharding: found {one_line(Exception(repr(found)))[:200]} for {name}, expected None, "
      "'numpy', a jax.sharding.Sharding, a Mesh, or a function of name and shape that makes one"
    )
  return found


def _groups(placed: Mapping[_Path, jax.ShapeDtypeStruct], *, whole: bool) -> Iterator[list[_Path]]:
  """The paths in groups of about a gigabyte, or all in one; a layer's arrays stay together."""
  group, size = [], 0
  for path, leaf in placed.items():
    count = leaf.size * leaf.dtype.itemsize
    is_new = group and path[:-1] != group[-1][:-1]
    if is_new and not whole and size + count > _GROUP:
      yield group
      group, size = [], 0
    group.append(path)
    size += count
  if group:
    yield group


def _finished(array: Any, dtype: Any, sharding: Placement) -> Any:
  """An array as it was asked for: cast, where it holds floats, and perhaps NumPy's."""
  if dtype is not None and jnp.issubdtype(array.dtype, jnp.floating):
    array = array.astype(dtype)
  return np.asarray(array) if sharding == "numpy" else array


def _float(dtype: Any) -> Any:
  """The dtype that floats are cast to; UserError for what is none."""
  try:
    found = None if dtype is None else jnp.dtype(dtype)
  except TypeError:
    found = np.dtype(np.int8)
  if found is not None and not jnp.issubdtype(found, jnp.floating):
    raise UserError(f"dtype: found {dtype!r}, expected floats, such as 'bfloat16' or 'float32'")
  return found


def _place(path: _Path, weights_in: str) -> _Path:
  return (weights_in, *path[1:]) if path[0] == "params" else path


def _leaves(tree: Any) -> Iterator[tuple[_Path, Any]]:
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    yield tuple(key.key for key in path), leaf


def _leaf(tree: Any, path: _Path) -> Any:
  for name in path:
    tree = tree[name]
  return tree


def _nested(leaves: Mapping[_Path, Any]) -> dict[str, Any]:
  tree: dict[str, Any] = {}
  for (*parents, last), leaf in leaves.items():
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[last] = leaf
  return tree
