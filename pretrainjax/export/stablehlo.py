"""The folder of a program: itself, its weights, its signature, and the code that loads it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.allowed import packages
from pretrainjax.export.check_program import check_program
from pretrainjax.export.function import Function, function_of
from pretrainjax.export.made import Made
from pretrainjax.export.program import write_program, write_signature
from pretrainjax.export.tokenizer import write_tokenizer
from pretrainjax.export.write import Written
from pretrainjax.models.causal import CausalModel
from pretrainjax.models.text_encoder import TextEncoder


def make_program(
  folder: Path, loaded: Loaded, *, reference: Reference, options: argparse.Namespace
) -> Made:
  """Writes a run as a program of `jax.export`, see `made.Maker`."""
  how = {"dtype": options.compute_dtype, "allow": packages(options.allow)}
  function = function_of(loaded, part=reference.part, **how)
  facts = write_program(
    folder,
    function,
    platforms=options.platforms.split(","),
    place=options.weights_place,
    dtype=options.dtype,
    max_shard_size=options.max_shard_size,
  )
  facts |= describe_inputs(folder, function, loaded, part=reference.part)
  write_signature(folder, function, facts)
  written = written_of(function, "program of StableHLO")
  uses = {"JAX, without pretrainjax": _use(function, facts)}
  return Made(written, "jax", uses, lambda: check_program(folder, function, dtype=options.dtype))


def written_of(function: Function, kind: str) -> Written:
  """What was written of a function.

  Args:
    function: the function of the run.
    kind: what it became, in words.
  """
  count = sum(int(np.prod(array.shape)) for array in function.weights.values())
  reads = "texts" if isinstance(function.encoder, TextEncoder) else "images"
  return Written(kind, function.held, function.left, count, (reads,))


def describe_inputs(
  folder: Path, function: Function, loaded: Loaded, *, part: str | None
) -> dict[str, Any]:
  """What else a signature says of inputs, whose tokenizer is written beside it.

  Args:
    folder: the folder, which is there.
    function: the function that reads them.
    loaded: the run that it was made of.
    part: the part that the reference names.
  """
  encoder: Any = function.encoder
  if hasattr(encoder, "image_mean"):
    return {"image": {"mean": list(encoder.image_mean), "std": list(encoder.image_std)}}
  recipe = loaded.parts[part or "encoder"].config or loaded.config.objective.backbone
  kind = "ForCausalLM" if isinstance(encoder, CausalModel) else ""
  has_one = write_tokenizer(folder, loaded.tokenizer, recipe, kind=kind)
  return {"tokenizer": "tokenizer.json"} if has_one else {}


def _use(function: Function, facts: Mapping[str, Any]) -> str:
  """Python code that runs a program."""
  arguments = [one.name for one in function.inputs]
  lines = [
    "import pathlib, jax",
    "from jax import export",
    'folder = pathlib.Path("FOLDER")',
    f'program = export.deserialize((folder / "{facts["program"]}").read_bytes())',
  ]
  if facts["weights"]["place"] == "beside":
    files = 'sorted(folder.glob("*.safetensors"))'
    lines.insert(2, "from safetensors.flax import load_file")
    lines.append(f"weights = {{k: v for file in {files} for k, v in load_file(file).items()}}")
    arguments.insert(0, "weights")
  lines.append(f"outputs = jax.jit(program.call)({', '.join(arguments)})")
  shapes = {one.name: f"{one.dtype} {_words(one.shape)}" for one in function.inputs}
  shapes |= {one["name"]: _words(one["shape"]) for one in facts["outputs"]}
  return "\n".join([*lines, f"# {'; '.join(f'{name}: {s}' for name, s in shapes.items())}"])


def _words(shape: Sequence[int | str]) -> str:
  return " ".join(map(str, shape))
