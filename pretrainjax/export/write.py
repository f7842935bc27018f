"""Writes a folder that transformers loads, whole or not at all."""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pretrainjax.checkpoint import manifest
from pretrainjax.convert import safetensors
from pretrainjax.convert.family import (
  Family,
  Library,
  SoundFamily,
  Table,
  Tokens,
  class_for,
)
from pretrainjax.convert.processor import OLD as PREPROCESSOR
from pretrainjax.convert.processor import write_statistics
from pretrainjax.convert.table import plan
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.errors import UserError
from pretrainjax.export.networks import Networks
from pretrainjax.export.tokenizer import write_tokenizer

_NAMES = {"backbone": "encoder"}  # of the networks that arguments make, where they differ
IMAGE_SIZE = (224, 224)  # of networks that take any, where nothing says it
_DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
DTYPES = tuple(_DTYPES)


class Written(NamedTuple):
  """What was written.

  Attributes:
    kind: the class of transformers.
    held: the names of the networks that it holds.
    left: the names of those that it does not.
    num_parameters: the number of numbers in its tensors.
    reads: what its encoders read: "images", "texts", or both.
    zeros: what is no part of our networks, and was written as zeros: "mask_token" of DINOv2.
    library: whose class it is.
  """

  kind: str
  held: tuple[str, ...]
  left: tuple[str, ...]
  num_parameters: int
  reads: tuple[str, ...]
  zeros: tuple[str, ...] = ()
  library: Library = "transformers"


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
  """Yields a folder beside `out` that takes its place, with a manifest, once all is written.

  Args:
    out: the folder, which must not be there, or be empty.

  Raises:
    UserError: where there is something already, or nothing can be written.
  """
  is_empty = out.is_dir() and not out.is_symlink() and not any(out.iterdir())
  if os.path.lexists(out) and not is_empty:
    raise _is_there(out)
  part = out.absolute().with_name(f".{out.name}.{os.getpid()}.part")
  try:
    part.mkdir(parents=True)
  except OSError as error:
    raise UserError(f"--out: cannot make '{part}' ({error.strerror})") from error
  try:
    yield part
    manifest.write(part)
    _sync(part)
    try:
      os.replace(part, out)
    except OSError:  # of another export, which was faster
      raise _is_there(out) from None
    _sync(out.absolute().parent)
  except BaseException:
    shutil.rmtree(part, ignore_errors=True)
    raise


def _is_there(out: Path) -> UserError:
  return UserError(f"--out: '{out}' is there already; remove it, or choose another")


def write_transformers(
  folder: Path,
  networks: Networks,
  *,
  tokenizer: Tokenizer | None,
  kind: str | None = None,
  dtype: str = "float32",
  max_shard_size: int = 5 * 10**9,
) -> Written:
  """Writes the weights, config.json and the files of texts or images.

  Args:
    folder: the folder, which is there.
    networks: what is exported.
    tokenizer: the tokenizer of an encoder of texts.
    kind: the class of transformers; None takes the one that holds most.
    dtype: one of `DTYPES`.
    max_shard_size: the most bytes of a file of weights.

  Returns:
    What was written. config.json is the last file, so that nothing loads before.
  """
  found = class_for(networks.recipes, kind=kind)
  family, name, arguments = found
  tokens = Tokens.of(tokenizer)
  recipes = recipes_of(networks, arguments)
  how = {"dtype": dtype, "max_shard_size": max_shard_size}
  written = write_weights(folder, networks, found, tokens=tokens, **how)
  if networks.text is not None:
    write_tokenizer(folder, tokenizer, networks.text, kind=name)
  if (image := networks.image) is not None and "image_mean" in image:
    size = networks.image_size or IMAGE_SIZE
    statistics = {"mean": image.image_mean, "std": image.image_std, "size": size, "kind": name}
    write_json(
      folder / PREPROCESSOR, write_statistics(**statistics, num_channels=image.num_channels)
    )
  if isinstance(family, SoundFamily):
    write_json(folder / PREPROCESSOR, family.write_processor(recipes))
  config = {"architectures": [name], "model_type": family.MODEL_TYPE, "torch_dtype": dtype}
  config |= family.write_config(recipes, name, tokens)
  if name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
    ids = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
    generation = {key: config[key] for key in ids if config.get(key) is not None}
    write_json(folder / "generation_config.json", {"_from_model_config": True} | generation)
  write_json(folder / "config.json", config)
  return written


def names_of(arguments: Collection[str]) -> set[str]:
  """The names of the networks that arguments of an objective make."""
  return {_NAMES.get(argument, argument) for argument in arguments}


def recipes_of(networks: Networks, arguments: Collection[str]) -> dict[str, Any]:
  """The recipes of some networks, and the hyper-parameters beside all of them.

  Args:
    networks: what is exported.
    arguments: those of the objective that make what is held.
  """
  return {n: r for n, r in networks.recipes.items() if n in arguments or not _is_recipe(r)}


def write_weights(
  folder: Path,
  networks: Networks,
  found: tuple[Family, str, tuple[str, ...]],
  *,
  tokens: Tokens,
  dtype: str,
  max_shard_size: int,
) -> Written:
  """Writes the tensors of a class.

  Args:
    folder: the folder, which is there.
    networks: what is exported.
    found: the class that they are written as, of `class_for`.
    tokens: the special tokens of an encoder of texts.
    dtype: one of `DTYPES`.
    max_shard_size: the most bytes of a file of weights.
  """
  family, name, arguments = found
  held = names_of(arguments)
  table = family.table(recipes_of(networks, arguments), name, tokens)
  there = {path: path.split("/")[0] for path in networks.params}
  params = {
    path: leaf
    for path, leaf in networks.params.items()
    if there[path] in held and path not in table.left
  }
  left = {*there.values()} - held | {path.rpartition("/")[2] for path in table.left}
  files = _Tensors(table, params, networks.fillers)
  how = {"dtype": _DTYPES[dtype], "counters": files.counters, "max_shard_size": max_shard_size}
  safetensors.write(folder, files.shapes(), files.make, **how)
  count = sum(math.prod(s) for n, s in files.shapes().items() if n not in files.counters)
  return Written(
    name,
    held=tuple(sorted(held)),
    left=tuple(sorted(left)),
    num_parameters=count,
    reads=networks.reads,
    zeros=tuple(sorted(files.zeros)),
  )


class _Tensors:
  """Their tensors, each made when it is asked for.

  Attributes:
    counters: the names of those that are whole numbers.
    zeros: the last words of the names of what nothing is known of.
  """

  def __init__(self, table: Table, params: Mapping[str, Any], known: Mapping[str, np.ndarray]):
    self._params, self._table = params, table
    shapes = {path: tuple(leaf.shape) for path, leaf in params.items()}
    self._planned = {table.written(one.name): one for one in plan(table.rules, shapes)}
    fixed = {**table.constants, **table.fillers}
    fixed |= {name: known[name] for name in table.fillers if name in known}
    self._constants = {table.written(name): value for name, value in fixed.items()}
    self.counters = {name for name, value in self._constants.items() if value.dtype.kind == "i"}
    self.zeros = {name.rpartition(".")[2] for name in table.fillers if name not in known}

  def shapes(self) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor by its name, sorted."""
    hollow = {p: np.broadcast_to(np.float32(0), leaf.shape) for p, leaf in self._params.items()}
    found = {name: one.shape(hollow.__getitem__) for name, one in self._planned.items()}
    found |= {name: value.shape for name, value in self._constants.items()}
    return dict(sorted(found.items()))

  def make(self, name: str) -> np.ndarray:
    """The tensor of a name."""
    if name in self._constants:
      return self._constants[name]
    return self._planned[name].make(lambda path: np.asarray(self._params[path]))


def _is_recipe(value: Any) -> bool:
  return hasattr(value, "get") and value.get("_recipe") is not None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
  """Writes a file of JSON, such as config.json.

  Args:
    path: the path of the file.
    content: the facts that it holds; letters beyond ASCII are escaped.
  """
  path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _sync(folder: Path) -> None:
  handle = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)
