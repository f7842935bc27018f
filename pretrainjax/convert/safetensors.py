"""Files of safetensors, read and written tensor by tensor; the library itself is not needed.

The format: 8 bytes with the size of a JSON header, the header (name -> dtype, shape, place), the
numbers, little-endian: https://huggingface.co/docs/safetensors. Neither side ever holds two models
in memory. Everything is read through `untrusted`, as the files are somebody else's.
"""

import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from pretrainjax.convert.memory import aligned
from pretrainjax.errors import UserError, nearest
from pretrainjax.untrusted import BadFile, open_file, parse_json, read_json

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES: dict[str, Any] = {
  "F32": np.dtype(np.float32),
  "F16": np.dtype(np.float16),
  "BF16": np.dtype(ml_dtypes.bfloat16),
}
_MAX_HEADER = 100_000_000  # the library's own limit
_INTEGERS: dict[str, Any] = {"I64": np.dtype(np.int64)}
_SIZES = {"F64": 8, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2}
_SIZES |= {"F32": 4, "F16": 2, "BF16": 2}  # others have one byte, or are refused by their size
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.safetensors")
_UNSAFE = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "tf_model.h5")


class _Place(NamedTuple):
  """Where a tensor lies in a file, and how its numbers are to be read."""

  path: Path
  start: int
  shape: tuple[int, ...]
  dtype: str


class TensorFolder(Mapping):
  """The tensors of a folder by name, each read when it is asked for, as float32.

  Args:
    folder: the folder of model.safetensors, or of the index and its shards.
    inside: the folder that no link may lead out of; None is `folder`.

  Raises:
    UserError: for a folder without such files, or files that are none.
  """

  def __init__(self, folder: Path, *, inside: Path | None = None):
    self._inside = folder if inside is None else inside
    self._places: dict[str, _Place] = {}
    for path, expected in _files(folder, self._inside):
      found = _header(path, self._inside)
      if expected is not None and set(found) != expected:
        odd = sorted(set(found) ^ expected)[0]
        raise UserError(f"{path}: has not the tensors that {INDEX} lists, '{odd}' among them")
      self._places |= found
    if not self._places:
      raise UserError(f"{folder}: its {WHOLE} holds no tensors")

  def __getitem__(self, name: str) -> np.ndarray:
    values = self._stored(name, DTYPES)
    if not np.isfinite(values).all():
      raise UserError(f"{self._places[name].path}: {name} holds numbers that are not finite")
    return values.astype(np.float32, copy=False)

  def integers(self, name: str) -> np.ndarray:
    """A tensor of whole numbers, such as a counter of steps."""
    return self._stored(name, _INTEGERS)

  def _stored(self, name: str, dtypes: Mapping[str, Any]) -> np.ndarray:
    place = self._places[name]
    if place.dtype not in dtypes:
      expected = ", ".join(dtypes)
      raise UserError(f"{place.path}: {name} is of {place.dtype}, expected one of {expected}")
    values = aligned(place.shape, dtypes[place.dtype])
    with open_file(place.path, inside=self._inside) as file:
      file.seek(place.start)
      if values.size and file.readinto(values.reshape(-1).view(np.uint8)) != values.nbytes:
        raise UserError(f"{place.path}: breaks off within {name}")
    return values

  def __contains__(self, name: object) -> bool:
    return name in self._places  # which a Mapping by itself would read it for

  def __iter__(self) -> Iterator[str]:
    return iter(self._places)

  def __len__(self) -> int:
    return len(self._places)

  def shape(self, name: str) -> tuple[int, ...]:
    """The shape of a tensor, which is not read."""
    return self._places[name].shape

  def dtype(self, name: str) -> str:
    """The dtype that a tensor is stored in, "float16"; their own word where we cannot read it."""
    stored = self._places[name].dtype
    return str(DTYPES[stored]) if stored in DTYPES else stored

  def nbytes(self, name: str) -> int:
    """The bytes of a tensor in its file."""
    place = self._places[name]
    return math.prod(place.shape) * _SIZES.get(place.dtype, 1)


def write(
  folder: Path,
  entries: Mapping[str, tuple[int, ...]],
  make: Callable[[str], np.ndarray],
  *,
  dtype: str = "F32",
  counters: Collection[str] = (),
  max_shard_size: int = 5 * 10**9,
) -> list[Path]:
  """Writes tensors into one file, or where they are too large into shards and their index.

  Args:
    folder: the folder, which is there.
    entries: the shape of each tensor by name.
    make: the function that makes a tensor; it is called once a name, in order.
    dtype: a key of `DTYPES`, in which the tensors are written.
    counters: the names of those that are written as int64 instead.
    max_shard_size: the most bytes of a file; a tensor that is larger has a file of its own.

  Returns:
    The paths of the files.
  """
  size = DTYPES[dtype].itemsize
  sizes = {n: math.prod(s) * (8 if n in counters else size) for n, s in entries.items()}
  shards = _shards(sizes, max_shard_size)
  names = [WHOLE]
  if len(shards) > 1:
    count = len(shards)
    names = [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]
    files = {n: name for name, shard in zip(names, shards, strict=True) for n in shard}
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": files}
    (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
  for name, shard in zip(names, shards, strict=True):
    some = {n: entries[n] for n in shard}
    write_file(folder / name, some, make, dtype=dtype, counters=counters)
  return [folder / name for name in names]


def write_file(
  path: Path,
  entries: Mapping[str, tuple[int, ...]],
  make: Callable[[str], np.ndarray],
  *,
  dtype: str = "F32",
  counters: Collection[str] = (),
) -> None:
  """Writes tensors into a file that must not be there yet.

  Args:
    path: the path of the file.
    entries: the shape of each tensor by name.
    make: the function that makes a tensor; it is called once a name, in order.
    dtype: a key of `DTYPES`, in which the tensors are written.
    counters: the names of those that are written as int64 instead.

  Raises:
    FileExistsError: where there is such a file.
  """
  header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
  place = 0
  kinds = DTYPES | _INTEGERS
  entries = dict(sorted(entries.items(), key=lambda entry: entry[0] not in counters))  # aligned
  dtypes = {name: "I64" if name in counters else dtype for name in entries}
  for name, shape in entries.items():
    end = place + math.prod(shape) * kinds[dtypes[name]].itemsize
    header[name] = {"dtype": dtypes[name], "shape": list(shape), "data_offsets": [place, end]}
    place = end
  text = json.dumps(header, separators=(",", ":")).encode()
  text += b" " * (-len(text) % 8)  # so that the numbers are aligned
  with path.open("xb") as file:
    file.write(len(text).to_bytes(8, "little") + text)
    for name, shape in entries.items():
      values = np.asarray(make(name), kinds[dtypes[name]], order="C")
      assert values.shape == tuple(shape), f"{name}: planned {shape}, made {values.shape}"
      file.write(values.reshape(-1).view(np.uint8).data)
    file.flush()
    os.fsync(file.fileno())


def _shards(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
  shards: list[list[str]] = [[]]
  total = 0
  for name, size in sizes.items():
    if shards[-1] and total + size > limit:
      shards.append([])
      total = 0
    shards[-1].append(name)
    total += size
  return shards


def _files(folder: Path, inside: Path) -> Iterator[tuple[Path, set[str] | None]]:
  """The files of a folder, and of shards the names of the tensors that are to be in each."""
  if os.path.lexists(folder / WHOLE):
    yield folder / WHOLE, None
    return
  if not os.path.lexists(folder / INDEX):
    raise _no_weights(folder)
  index = read_json(folder / INDEX, limit=_MAX_HEADER, inside=inside)
  names = index.get("weight_map") if isinstance(index, dict) else None
  if not isinstance(names, dict) or not names:
    raise BadFile(folder / INDEX, "has no weight_map")
  by_file: dict[str, set[str]] = {}
  for name, file in names.items():
    if not isinstance(file, str) or not _FILE.fullmatch(file):
      raise BadFile(folder / INDEX, f"lists the file {file!r}, expected NAME.safetensors beside it")
    by_file.setdefault(file, set()).add(name)
  for file, expected in sorted(by_file.items()):
    if not os.path.lexists(folder / file):
      raise BadFile(folder / file, f"is missing, though {INDEX} lists it")
    yield folder / file, expected


def _no_weights(folder: Path) -> UserError:
  there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
  unsafe = [n for n in there if n in _UNSAFE or n.endswith((".bin", ".pt", ".pth", ".ckpt"))]
  if unsafe:
    command = f"A.from_pretrained('{folder}').save_pretrained('{folder}')"
    return UserError(
      f"{folder / unsafe[0]}: expected {WHOLE}: to read such a file can run code; where you trust "
      f'it, convert it: python -c "from transformers import AutoModel as A; {command}", with the '
      "class of `architectures` in config.json in place of AutoModel"
    )
  return UserError(f"{folder}: has neither {WHOLE} nor {INDEX}{nearest(WHOLE, there)}")


def _header(path: Path, inside: Path) -> dict[str, _Place]:
  """Where each tensor of a file lies; nothing but the header is read."""
  try:
    with open_file(path, inside=inside) as file:
      total = os.fstat(file.fileno()).st_size
      size = int.from_bytes(file.read(8), "little")
      if not 2 <= size <= min(_MAX_HEADER, total - 8):
        raise BadFile(path, f"is no safetensors file: a header of {size} bytes in {total}")
      found = parse_json(file.read(size))
  except OSError as error:
    raise BadFile(path, f"cannot be read ({error.strerror})") from error
  except ValueError as error:
    raise BadFile(path, f"is no safetensors file ({error})") from error
  if not isinstance(found, dict):
    raise BadFile(path, "is no safetensors file: its header is no dictionary")
  found.pop("__metadata__", None)
  places = {name: _place(path, name, entry, 8 + size) for name, entry in found.items()}
  _check_extent(path, found, total - 8 - size)
  return places


def _place(path: Path, name: str, entry: Any, start: int) -> _Place:
  try:
    dtype, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    numbers = [first, last, *shape]
    if not isinstance(dtype, str) or any(type(n) is not int or n < 0 for n in numbers):
      raise ValueError
  except (KeyError, TypeError, ValueError):
    raise BadFile(path, f"says nothing sensible of the tensor '{name}'") from None
  if math.prod(shape) * _SIZES.get(dtype, 1) != last - first and dtype in DTYPES | _INTEGERS:
    raise BadFile(path, f"has {last - first} bytes for '{name}', {dtype}{shape}")
  return _Place(path, start + first, tuple(shape), dtype)


def _check_extent(path: Path, entries: Mapping[str, Any], size: int) -> None:
  """Refuses numbers that belong to no tensor, or to two: names that collide, a file cut short."""
  end = 0
  for first, last in sorted(entry["data_offsets"] for entry in entries.values()):
    if first != end or last < first:
      raise BadFile(path, f"has tensors that overlap, or a gap between them, at byte {end}")
    end = last
  if end != size:
    raise BadFile(path, f"has {size} bytes of numbers, but its tensors are {end}")
