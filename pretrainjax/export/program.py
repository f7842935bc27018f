"""A function written as a program of StableHLO, which plain JAX loads without code of ours."""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from pretrainjax.convert import safetensors
from pretrainjax.errors import UserError
from pretrainjax.export.function import Function, symbolic_inputs

PROGRAM, SIGNATURE = "program.jax_export", "signature.json"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
PLACES = ("beside", "inside")
_MOST_BYTES_INSIDE = 2 * 10**9  # of a FlatBuffer, in which a program is written
_THEIRS = {dtype.name: name for name, dtype in safetensors.DTYPES.items()}  # of dtypes
_MISSING = "--form=stablehlo: needs flatbuffers; pip install 'pretrainjax[stablehlo]'"


def check_serializer() -> None:
  """Refuses the form where what writes it is not installed.

  Raises:
    UserError: with the line that installs it.
  """
  try:
    importlib.import_module("flatbuffers")
  except ImportError as error:
    raise UserError(_MISSING) from error


def write_program(
  folder: Path,
  function: Function,
  *,
  platforms: Sequence[str],
  place: str,
  dtype: str,
  max_shard_size: int,
) -> dict[str, Any]:
  """Writes the program and, unless they are inside of it, its weights.

  Args:
    folder: the folder, which is there.
    function: the function that it computes.
    platforms: the names of those that it is compiled for, of `PLATFORMS`.
    place: where the weights are, of `PLACES`. Beside it they are its first argument, by name.
    dtype: the dtype of the weights, of `write.DTYPES`; the program computes in its own.
    max_shard_size: the most bytes of a file of weights.

  Returns:
    What is to stand in the signature about both.

  Raises:
    UserError: for weights that are too large to be inside.
  """
  names = sorted(function.weights)
  shapes = {name: tuple(function.weights[name].shape) for name in names}
  kind = safetensors.DTYPES[_THEIRS[dtype]]
  if place == "inside":
    size = sum(int(np.prod(shape)) for shape in shapes.values()) * kind.itemsize
    if size > _MOST_BYTES_INSIDE:
      raise UserError(
        f"--weights_place: found inside for {size / 1e9:.1f} GB of weights, expected beside: "
        "a program holds at most 2 GB"
      )
    weights = {name: np.asarray(function.weights[name]).astype(kind) for name in names}
    exported = _exported(lambda *given: function.call(weights, *given), (), function, platforms)
    facts = {"place": place, "dtype": dtype, "files": []}
  else:
    hollow = {name: jax.ShapeDtypeStruct(shape, kind) for name, shape in shapes.items()}
    exported = _exported(function.call, (hollow,), function, platforms)
    files = safetensors.write(
      folder,
      shapes,
      lambda name: np.asarray(function.weights[name]),
      dtype=_THEIRS[dtype],
      max_shard_size=max_shard_size,
    )
    facts = {"place": place, "dtype": dtype, "files": [path.name for path in files]}
  (folder / PROGRAM).write_bytes(exported.serialize())
  return {
    "program": PROGRAM,
    "jax": jax.__version__,
    "calling_convention_version": exported.calling_convention_version,
    "platforms": list(exported.platforms),
    "weights": facts,
    "outputs": _outputs(exported),
  }


def write_signature(folder: Path, function: Function, facts: Mapping[str, Any]) -> None:
  """Writes the signature: what goes into a program, in which order, and what comes out.

  Args:
    folder: the folder of the program.
    function: the function that it computes.
    facts: what else is to stand in it.
  """
  inputs = [one._asdict() | {"shape": list(one.shape)} for one in function.inputs]
  content = {"inputs": inputs, "limits": list(function.limits)} | dict(facts)
  (folder / SIGNATURE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _outputs(exported: export.Exported) -> list[dict[str, Any]]:
  """The outputs of a program by name, with their shapes and dtypes."""
  outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
  return [
    {
      "name": name,
      "shape": [size if isinstance(size, int) else str(size) for size in aval.shape],
      "dtype": aval.dtype.name,
    }
    for name, aval in outputs.items()
  ]


def _exported(
  call: Any, weights: tuple, function: Function, platforms: Sequence[str]
) -> export.Exported:
  return export.export(jax.jit(call), platforms=platforms)(*weights, *symbolic_inputs(function))
