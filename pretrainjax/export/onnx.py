"""The folder of an ONNX model: the function of a run on images, converted by jax2onnx."""

import argparse
import contextlib
import importlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.config.allowed import packages
from pretrainjax.errors import UserError
from pretrainjax.export.check_program import cases_of, differences
from pretrainjax.export.function import Function, function_of, symbolic_inputs
from pretrainjax.export.made import Made
from pretrainjax.export.program import write_signature
from pretrainjax.export.stablehlo import describe_inputs, written_of
from pretrainjax.models.image_encoder import ImageEncoder

MODEL = "model.onnx"
# jax2onnx asks for an older Orbax than ours, which it does not use: no extra can name both.
_INSTALL = (
  "pip install --no-deps jax2onnx onnx onnx-ir onnxruntime; pip install flatbuffers packaging sympy"
)


def check_converter(options: argparse.Namespace) -> None:
  """Refuses the form where its libraries are not installed, or for another dtype.

  Args:
    options: the flags of the command.

  Raises:
    UserError: with the line that installs them.
  """
  for name in ("jax2onnx", "onnxruntime"):
    try:
      with _quiet():
        importlib.import_module(name)
    except ImportError as error:
      raise UserError(f"--form=onnx: needs {name} ({error.name} is missing); {_INSTALL}") from error
  for name in ("dtype", "compute_dtype"):
    if (found := getattr(options, name)) not in (None, "float32"):
      raise UserError(f"--{name}: found '{found}', expected float32 with --form=onnx")


def make_onnx(
  folder: Path, loaded: Loaded, *, reference: Reference, options: argparse.Namespace
) -> Made:
  """Writes a run as an ONNX model, see `made.Maker`."""
  how = {"dtype": "float32", "allow": packages(options.allow)}
  function = function_of(loaded, part=reference.part, **how)
  if not isinstance(function.encoder, ImageEncoder):
    # Of 0.17.1: a free length fails, and the positions' cumulative maximum is no valid ONNX.
    raise UserError("--form=onnx: expected an encoder of images; jax2onnx converts none of texts")
  facts: dict[str, Any] = {"program": MODEL, "outputs": _convert(folder / MODEL, function)}
  _session(folder / MODEL)
  facts |= describe_inputs(folder, function, loaded, part=reference.part)
  write_signature(folder, function, facts)
  inputs = ", ".join(f'"{one.name}": {one.name}' for one in function.inputs)
  code = (
    "import onnxruntime\n"
    f'session = onnxruntime.InferenceSession("FOLDER/{MODEL}")\n'
    f"names = {[one['name'] for one in facts['outputs']]}\n"
    f"outputs = dict(zip(names, session.run(names, {{{inputs}}})))"
  )
  written = written_of(function, "ONNX model")
  return Made(written, "onnx", {"ONNX Runtime": code}, lambda: _check(folder / MODEL, function))


def _convert(path: Path, function: Function) -> list[dict[str, Any]]:
  """Writes the model; returns its outputs for the signature."""
  weights = {name: np.asarray(array) for name, array in function.weights.items()}
  inputs = symbolic_inputs(function)

  def call(*given: Any) -> tuple:
    return tuple(array for _, array in sorted(function.call(weights, *given).items()))

  made = jax.eval_shape(lambda *given: function.call(weights, *given), *inputs)
  names = sorted(made)
  try:
    with _quiet():
      importlib.import_module("jax2onnx").to_onnx(
        call,
        inputs,
        input_names=[one.name for one in function.inputs],
        output_names=names,
        return_mode="file",
        output_path=path,
      )
  except Exception as error:  # of many kinds, for what it cannot convert
    reason = " ".join(str(error).split())[:300]
    raise UserError(f"--form=onnx: jax2onnx does not convert this model: {reason}") from error
  return [
    {"name": name, "shape": [s if isinstance(s, int) else str(s) for s in made[name].shape]}
    for name in names
  ]


def _check(path: Path, function: Function) -> str:
  """Compares it, run by ONNX Runtime, with the networks that it was made of."""
  session = _session(path)
  names = [one.name for one in session.get_outputs()]
  cases, outputs = dict(cases_of(function)), {}
  for case, given in cases.items():
    for name, array in zip(names, session.run(names, given), strict=True):
      outputs[f"{case}/{name}"] = array
  return differences(function, cases, outputs)


def _session(path: Path) -> Any:
  """A session of ONNX Runtime; not all that jax2onnx writes is a valid model."""
  runtime = importlib.import_module("onnxruntime")
  options = runtime.SessionOptions()
  options.log_severity_level = 3  # errors alone
  try:
    return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
  except Exception as error:  # of a class for each of its codes
    reason = " ".join(str(error).split())[:300]
    raise UserError(f"--form=onnx: ONNX Runtime does not load the result: {reason}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps back what jax2onnx says of libraries that are not here and are not used."""
  loggers = [logging.getLogger(name) for name in ("jax2onnx", "onnx_ir", "root")]
  before = [logger.level for logger in loggers]
  for logger in loggers:
    logger.setLevel(logging.ERROR)
  try:
    yield
  finally:
    for logger, level in zip(loggers, before, strict=True):
      logger.setLevel(level)
