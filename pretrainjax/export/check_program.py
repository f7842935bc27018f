"""Compares an exported program, run without our code, with the networks that it was made of."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.export import reload
from pretrainjax.export.difference import TOLERANCES, largest_difference
from pretrainjax.export.function import BATCH, Function, Input
from pretrainjax.export.odd_inputs import lowest_token, odd_images, rare_tokens

# Sizes of batches and images: so few that each is compiled within seconds.
_BATCH_SIZES = (3, 1, 8)
_IMAGE_SIZES = ((64, 96), (33, 47), (64, 96))
_LONGEST = 512
Arrays = Mapping[str, np.ndarray]


def check_program(folder: Path, function: Function, *, dtype: str = "float32") -> str:
  """Runs a program in a process of its own; a line for each kind of input.

  Args:
    folder: the folder of the program.
    function: the function that it was made of.
    dtype: the dtype that the weights were written in, a key of `TOLERANCES`.

  Raises:
    UserError: where it does not run there, or computes something else.
  """
  cases = dict(cases_of(function))
  arrays = {f"{case}/{name}": x for case, given in cases.items() for name, x in given.items()}
  with tempfile.TemporaryDirectory() as temporary:
    given, made = (Path(temporary) / f"{name}.npz" for name in ("inputs", "outputs"))
    np.savez(given, **arrays)
    command = [sys.executable, "-P", reload.__file__, str(folder), str(given), str(made)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
      last = (done.stderr.strip().splitlines() or ["no message"])[-1]
      raise UserError(f"--check: the program does not run by itself: {last[:300]}")
    with np.load(made) as outputs:
      return differences(function, cases, dict(outputs), dtype=dtype)


def differences(
  function: Function, cases: Mapping[str, Arrays], outputs: Arrays, *, dtype: str = "float32"
) -> str:
  """The largest difference for each case and output, a line a case.

  Args:
    function: the function, whose outputs are those that are expected.
    cases: the inputs of each case.
    outputs: what the program made of them, as "CASE/NAME".
    dtype: the dtype that the weights were written in.

  Raises:
    UserError: where one is beyond what rounding makes.
  """
  call, lines = jax.jit(function.call), []
  computed = getattr(function.encoder, "dtype", "float32")
  tolerance = max(TOLERANCES[dtype], TOLERANCES[computed])
  for case, given in cases.items():
    expected = call(function.weights, *(given[one.name] for one in function.inputs))
    present = given.get("segments")
    found = []
    for name, array in expected.items():
      theirs, ours = outputs[f"{case}/{name}"], np.asarray(array, np.float32)
      if present is not None and ours.shape[:2] == present.shape:  # what padding gets is not used
        theirs, ours = theirs[present > 0], ours[present > 0]
      largest = largest_difference(f"{name} of {case}", ours, theirs, tolerance=tolerance)
      found.append(f"{name} {largest:.2e}")
    lines.append(f"check {case}: largest difference of {', '.join(found)}")
  return "\n".join(lines)


def cases_of(function: Function) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
  """Inputs of a function, ordinary and odd ones, in batches of several sizes."""
  random = np.random.default_rng(0)
  if any(one.name == "tokens" for one in function.inputs):
    yield from _texts(function, random)
    return
  (images,) = function.inputs
  for size, sides in zip(_BATCH_SIZES, _IMAGE_SIZES, strict=True):
    shape = _shape(images, {BATCH: size} | dict(zip("hw", sides, strict=True)))
    ordinary = random.integers(0, 256, shape)
    yield f"{size} ordinary images", {images.name: ordinary.astype(np.uint8)}
  for name, pixels in odd_images(shape, random):
    yield name, {images.name: pixels}


def _texts(function: Function, random: np.random.Generator) -> Iterator[tuple[str, Any]]:
  encoder: Any = function.encoder
  size, longest = encoder.vocab_size, min(encoder.max_length, _LONGEST)
  low, half = lowest_token(size), max(longest // 2, 1)
  for rows, length in zip(_BATCH_SIZES, (longest, half, half), strict=True):
    tokens = random.integers(low, size, (rows, length))
    yield f"{rows} texts of {length} tokens", _text(function, tokens, np.ones_like(tokens))
  lengths = np.array([1, max(half - 1, 1), half, *random.integers(1, half + 1, len(tokens) - 3)])
  yield "padded texts", _text(function, tokens, np.arange(half)[None] < lengths[:, None])
  yield "texts of one token", _text(function, tokens[:, :1], np.ones_like(tokens[:, :1]))
  rare = rare_tokens(tokens.shape, vocab_size=size)
  yield "the last tokens of the vocabulary", _text(function, rare, np.ones_like(rare))


def _text(function: Function, tokens: Any, segments: Any) -> dict[str, np.ndarray]:
  """The inputs of a text; of its types the second half is the second text."""
  types = np.arange(tokens.shape[1])[None] >= (tokens.shape[1] + 1) // 2
  arrays = {"tokens": tokens, "segments": segments, "types": np.broadcast_to(types, tokens.shape)}
  return {one.name: np.asarray(arrays[one.name], np.int32) for one in function.inputs}


def _shape(one: Input, sizes: Mapping[str, int]) -> tuple[int, ...]:
  return tuple(sizes[size] if isinstance(size, str) else size for size in one.shape)
