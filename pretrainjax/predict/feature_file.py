"""Files of features, each with the name of what it is of: .npy, .npz, .parquet and .jsonl."""

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pretrainjax.errors import UserError
from pretrainjax.predict.encoded_inputs import Inputs, encoded_parts, identity_of
from pretrainjax.predict.parts import claim
from pretrainjax.predict.texts import import_parquet
from pretrainjax.user_path import user_path

SUFFIXES = (".npy", ".npz", ".parquet", ".jsonl")


def new_file(given: str | None, suffixes: Sequence[str]) -> Path:
  """The file that --out names, which is not there yet.

  Args:
    given: what the user typed.
    suffixes: the kinds of file that can be written.

  Raises:
    UserError: for none, another kind, one that is there, or a folder that is not.
  """
  if given is None:
    raise UserError("--out: found nothing, expected a file")
  out = user_path(given)
  if out.suffix not in suffixes:
    raise UserError(f"--out: found '{out}', expected one of {', '.join(suffixes)}")
  if out.suffix == ".parquet":
    import_parquet()
  if out.exists():
    raise UserError(f"--out: '{out}' is there already; remove it, or choose another")
  if not out.absolute().parent.is_dir():
    raise UserError(f"--out: there is no folder '{out.parent}'")
  return out


def checked_out(options: argparse.Namespace, *, expected: str) -> Path:
  """The file of the features of images or sounds, once the flags of `predict embed` are in order.

  Args:
    options: the flags `input`, `out`, `batch_size` and `pool`.
    expected: what may be given, for the message where nothing is.

  Raises:
    UserError: for a flag that is missing, out of range, or not for these.
  """
  if not options.input:
    raise UserError(f"--input: found nothing, expected {expected}")
  out = new_file(options.out, SUFFIXES)
  if options.batch_size < 1:
    raise UserError(f"--batch_size: found {options.batch_size}, expected at least 1")
  if options.pool is not None:
    raise UserError(f"--pool: found '{options.pool}', which is for encoders of texts")
  return out


def write_features(inputs: Inputs, encoder: Any, out: Path) -> tuple[int, list[str]]:
  """Writes the features of all that can be read, in order; what was stopped goes on.

  Args:
    inputs: the images or sounds that are encoded.
    encoder: the encoder of the run.
    out: the file, which appears when it is whole.

  Returns:
    The number of features, and what could not be read.

  Raises:
    UserError: where nothing can be read.
  """
  folder = out.with_name(out.name + ".parts")
  claim(folder, identity_of(inputs, encoder))
  parts = encoded_parts(inputs, encoder, folder, arrays=lambda features: {"features": features})
  features, names, missing = [], [], []
  for part in parts:
    features.append(part["features"].astype(np.float32))
    names += part["names"].tolist()
    missing += part["missing"].tolist()
  if not names:
    raise UserError(f"--input: none of {inputs.num_examples} {inputs.kind} can be read")
  _write(out, np.concatenate(features), names)
  shutil.rmtree(folder)
  return len(names), missing


def _write(out: Path, features: Float[np.ndarray, "N D"], names: Sequence[str]) -> None:
  """Writes a file that appears when it is whole."""
  write = {".npy": _npy, ".npz": _npz, ".parquet": _parquet, ".jsonl": _jsonl}[out.suffix]
  temporary = out.with_name(f".{os.getpid()}.{out.name}")
  try:
    write(temporary, features, names)
    os.replace(temporary, out)
  finally:
    temporary.unlink(missing_ok=True)


def _npy(path: Path, features: np.ndarray, names: Sequence[str]) -> None:
  del names
  np.save(path, features)


def _npz(path: Path, features: np.ndarray, names: Sequence[str]) -> None:
  np.savez(path, features=features, names=np.array(names))


def _jsonl(path: Path, features: np.ndarray, names: Sequence[str]) -> None:
  with path.open("w", encoding="utf-8") as file:
    for name, row in zip(names, features.tolist(), strict=True):
      file.write(json.dumps({"file": name, "embedding": row}) + "\n")


def _parquet(path: Path, features: np.ndarray, names: Sequence[str]) -> None:
  import pyarrow as pa  # optional, and slow to load

  vector = pa.list_(pa.float32(), features.shape[1])
  flat = pa.array(features.reshape(-1))
  columns = [list(names), pa.FixedSizeListArray.from_arrays(flat, type=vector)]
  schema = pa.schema([("file", pa.string()), ("embedding", vector)])
  import_parquet().write_table(pa.table(columns, schema=schema), path)
