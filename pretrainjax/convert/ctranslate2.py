"""Reads a Whisper that CTranslate2 wrote: model.bin of format 6, and tokenizer.json beside it.

The format: version, name and revision of the model, then variables, then aliases. Numbers are
little endian; a name is its length with a zero at the end (uint16), then itself; a variable is a
name, a rank (uint8), the sizes (uint32), a dtype (uint8), the number of bytes (uint32), the bytes.
"""

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.config.objects import build, recipe, spec
from pretrainjax.convert.table import Tensors, flatten, to_ours
from pretrainjax.convert.whisper import whisper_rules
from pretrainjax.errors import UserError, nearest
from pretrainjax.models.whisper import WhisperDecoder, WhisperEncoder
from pretrainjax.objectives.imported import Imported
from pretrainjax.objectives.split import abstract_split
from pretrainjax.untrusted import BadFile, read_bytes, read_json

MODEL, TOKENIZER = "model.bin", "tokenizer.json"
_VERSION, _NAME = 6, "WhisperSpec"
_LARGEST = 8 * 10**9
_MOST_VARIABLES, _LONGEST_NAME, _DEEPEST = 20_000, 500, 4
_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_START, _END = "<|startoftranscript|>", "<|endoftext|>"
# Our choice is theirs: what says otherwise is refused.
_FIXED = {
  "decoder/pre_norm": 1,
  "decoder/scale_embeddings": 0,
  "decoder/start_from_zero_embedding": 0,
  "decoder/alibi": 0,
  "decoder/activation": 3,  # the exact GELU
}
_IGNORED = ("decoder/alignment_heads", "decoder/alignment_layer")


class Whisper(NamedTuple):
  """A Whisper that was read.

  Attributes:
    config: the config that makes its networks: {"objective": spec(Imported, ...)}.
    objective: the objective that the config makes.
    module: its networks with their weights, `encoder` and `decoder`.
  """

  config: ConfigDict
  objective: Imported
  module: nnx.Module


def read_whisper(folder: Path) -> Whisper:
  """Reads a folder with model.bin and tokenizer.json.

  Raises:
    UserError: for files that are none of those, sizes that do not fit, quantised weights, or a
      network that ours is not.
  """
  path = folder / MODEL
  if not os.path.lexists(path):
    near = [found.parent.name for found in folder.parent.glob(f"*/{MODEL}")]
    raise UserError(f"ct2:{folder}: {MODEL} is missing{nearest(folder.name, near)}")
  variables = read_variables(path)
  tensors, recipes = _tensors(variables, path), _recipes(variables, path, _ids(folder))
  config = ConfigDict({"objective": spec(Imported, **recipes)})
  try:
    objective = build(config.objective, path="config.objective")
    graphdef, params, extras = abstract_split(objective)
  except UserError as error:
    raise UserError(f"{path}: makes no model: {error}") from error
  wanted = {p: tuple(leaf.shape) for p, leaf in flatten(params).items()}
  try:
    found = to_ours(whisper_rules(), tensors, wanted=wanted)
  except UserError as error:
    raise UserError(f"{path}: {error}") from error
  return Whisper(config, objective, nnx.merge(graphdef, found, extras))


def read_variables(path: Path) -> dict[str, np.ndarray]:
  """All arrays of a model.bin by their names; of those with a second name the first only.

  Raises:
    BadFile: for another format, or counts that the file does not hold.
  """
  reader = _Reader(read_bytes(path, limit=_LARGEST, inside=path.parent), path)
  found = (reader.number("I"), reader.text(), reader.number("I"))
  if found[:2] != (_VERSION, _NAME):
    raise BadFile(path, f"is {found[1]!r:.60} of format {found[0]}, expected {_NAME} of {_VERSION}")
  variables: dict[str, np.ndarray] = {}
  for _ in range(reader.count("variables")):
    name = reader.text()
    if name in variables:
      raise BadFile(path, f"has {name!r} twice")
    variables[name] = reader.array(name)
  for _ in range(reader.count("aliases")):
    alias, name = reader.text(), reader.text()
    if (alias, name) != ("decoder/projection/weight", "decoder/embeddings/weight"):
      raise BadFile(path, f"has {alias!r} for {name!r}, expected the table of tokens alone")
  reader.check_end()
  return variables


class _Reader:
  """The bytes of a file, read from the front; what lies beyond the end is refused."""

  def __init__(self, data: bytes, path: Path):
    self._data, self._path, self._place = data, path, 0

  def _take(self, size: int) -> int:
    place = self._place
    if size > len(self._data) - place:
      raise BadFile(self._path, f"ends at byte {len(self._data)}, {size} more expected at {place}")
    self._place += size
    return place

  def number(self, kind: str) -> int:
    size = struct.calcsize(f"<{kind}")
    return struct.unpack_from(f"<{kind}", self._data, self._take(size))[0]

  def count(self, what: str) -> int:
    found = self.number("I")
    if found > _MOST_VARIABLES:
      raise BadFile(self._path, f"has {found} {what}, expected at most {_MOST_VARIABLES}")
    return found

  def text(self) -> str:
    size = self.number("H")
    if not 1 < size <= _LONGEST_NAME:
      raise BadFile(self._path, f"has a name of {size} bytes, expected 2 to {_LONGEST_NAME}")
    place = self._take(size)
    found = self._data[place : place + size]
    if found[-1] or not found[:-1].isascii() or not found[:-1].decode("ascii").isprintable():
      raise BadFile(self._path, f"has no name at byte {place}")
    return found[:-1].decode("ascii")

  def array(self, name: str) -> np.ndarray:
    rank = self.number("B")
    if rank > _DEEPEST:
      raise BadFile(self._path, f"has {rank} axes for {name!r}, expected at most {_DEEPEST}")
    shape = tuple(self.number("I") for _ in range(rank))
    kind, size = self.number("B"), self.number("I")
    if kind not in _DTYPES:
      raise BadFile(self._path, f"has dtype {kind} for {name!r}, expected one of {list(_DTYPES)}")
    dtype = np.dtype(_DTYPES[kind]).newbyteorder("<")
    if math.prod(shape) * dtype.itemsize != size:
      raise BadFile(self._path, f"has {size} bytes for {name!r}, {dtype.name}{list(shape)}")
    place = self._take(size)
    flat = np.frombuffer(self._data, dtype, count=size // dtype.itemsize, offset=place)
    return flat.reshape(shape)

  def check_end(self) -> None:
    if self._place != len(self._data):
      raise BadFile(self._path, f"has {len(self._data) - self._place} bytes behind its end")


def _tensors(variables: Mapping[str, np.ndarray], path: Path) -> Tensors:
  """The variables by the names of transformers, float32; what is fused there is apart here."""
  found: Tensors = {}
  for name, array in variables.items():
    if name in _FIXED or name in _IGNORED or name.endswith("/num_heads"):
      continue
    if array.dtype.kind != "f":
      raise BadFile(path, f"has {array.dtype.name} for {name!r}, expected weights not quantised")
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
      raise BadFile(path, f"has a value in {name!r} that is no finite number")
    found |= _renamed(name, values, path)
  return {f"model.{name}": tensor for name, tensor in found.items()}


def _renamed(name: str, values: np.ndarray, path: Path) -> Tensors:
  words = name.split("/")
  side, last = words[0], {"gamma": "weight", "beta": "bias"}.get(words[-1], words[-1])
  if words[1:] == ["embeddings", "weight"]:
    return {f"{side}.embed_tokens.weight": values}
  if words[1:] == ["position_encodings", "encodings"]:
    return {f"{side}.embed_positions.weight": values}
  if not words[1].startswith("layer_") or words[1] == "layer_norm":
    return {".".join([side, *words[1:-1], last]): values}
  layer = f"{side}.layers.{words[1].removeprefix('layer_')}"
  part, inner = words[2], words[3] if len(words) == 5 else ""
  if inner == "layer_norm":
    norms = {"self_attention": "self_attn_layer_norm", "attention": "encoder_attn_layer_norm"}
    return {f"{layer}.{norms.get(part, 'final_layer_norm')}.{last}": values}
  if part == "ffn":
    linear = {"linear_0": "fc1", "linear_1": "fc2"}.get(inner, inner)
    return {f"{layer}.{linear}.{last}": values}
  theirs = f"{layer}.{'self_attn' if part == 'self_attention' else 'encoder_attn'}"
  fused = {("self_attention", "linear_0"): "qkv", ("attention", "linear_0"): "q"}
  letters = fused.get((part, inner), "kv" if (part, inner) == ("attention", "linear_1") else "")
  if not letters:
    return {f"{theirs}.out_proj.{last}": values}
  if len(values) % len(letters):
    raise BadFile(path, f"has {len(values)} rows for {name!r}, expected {len(letters)} equal parts")
  parts = dict(zip(letters, np.split(values, len(letters)), strict=True))
  if last == "bias" and "k" in parts and parts.pop("k").any():
    raise BadFile(path, f"has a bias of keys in {name!r}, which ours has not")
  return {f"{theirs}.{letter}_proj.{last}": part for letter, part in parts.items()}


def _recipes(
  variables: Mapping[str, np.ndarray], path: Path, ids: Mapping[str, int]
) -> dict[str, ConfigDict]:
  """The recipes of the networks, whose sizes are those of the arrays."""
  for name, expected in _FIXED.items():
    if name in variables and int(variables[name]) != expected:
      raise BadFile(path, f"has {int(variables[name])} for {name!r}, expected {expected}")

  def size(name: str, rank: int, axis: int) -> int:
    if name not in variables or variables[name].ndim != rank:
      raise BadFile(path, f"has no array of {rank} axes for {name!r}")
    return variables[name].shape[axis]

  made = {}
  for side in ("encoder", "decoder"):
    layers = {n.split("/")[1] for n in variables if n.startswith(f"{side}/layer_")} - {"layer_norm"}
    heads = variables.get(f"{side}/num_heads")
    if heads is None or heads.ndim or heads.dtype.kind != "i" or heads < 1:
      raise BadFile(path, f"has no number of heads for '{side}'")
    made[side] = {
      "embed_dim": size(f"{side}/position_encodings/encodings", 2, 1),
      "num_layers": len(layers),
      "num_heads": int(heads),
      "mlp_dim": size(f"{side}/layer_0/ffn/linear_0/weight", 2, 0),
    }
  lengths = {s: size(f"{s}/position_encodings/encodings", 2, 0) for s in ("encoder", "decoder")}
  bands = size("encoder/conv1/weight", 3, 1)
  encoder = recipe(WhisperEncoder, num_mels=bands, length=lengths["encoder"], **made["encoder"])
  vocabulary = {"vocab_size": size("decoder/embeddings/weight", 2, 0)}
  sizes = made["decoder"] | {"max_length": lengths["decoder"]}
  return {
    "backbone": encoder,
    "decoder": recipe(WhisperDecoder, **vocabulary, **sizes, **ids, pad_id=ids["end_id"]),
  }


def _ids(folder: Path) -> dict[str, int]:
  """The tokens that begin and end a text, which tokenizer.json adds to its vocabulary."""
  path = folder / TOKENIZER
  content = read_json(path, inside=folder)
  added = content.get("added_tokens") if isinstance(content, dict) else None
  added = [one for one in added if isinstance(one, dict)] if isinstance(added, list) else []
  by_name = {one.get("content"): one.get("id") for one in added if _is_text(one.get("content"))}
  for name in (_START, _END):
    if type(by_name.get(name)) is not int or by_name[name] < 0:
      raise BadFile(path, f"has no token {name}")
  return {"start_id": by_name[_START], "end_id": by_name[_END]}


def _is_text(value: Any) -> bool:
  return isinstance(value, str)
