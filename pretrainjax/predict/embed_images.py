"""Features of images: `predict embed --workdir=WORKDIR --input=PHOTOS --out=FILE`.

They are those that evaluations take, by the same transform: of files, of all images of a folder, or
of a split of a prepared set. A command that was stopped goes on where it was when it is given
again: finished parts lie in OUT.parts until all are there.
"""

import argparse
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.fingerprint import fingerprint
from pretrainjax.command import Request
from pretrainjax.config.allowed import TARGET
from pretrainjax.config.objects import build
from pretrainjax.data.dataset_folder import data_folder, newest_version
from pretrainjax.data.fields.image import noted_pixels
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.data.pixels import UNNOTED, Pixels
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.evaluators.features import extract_features
from pretrainjax.objectives.split import split
from pretrainjax.predict.image_inputs import ImageFiles, RecordedPass, find_dataset, find_files
from pretrainjax.predict.parts import claim, damaged, read_part, write_part
from pretrainjax.predict.texts import import_parquet
from pretrainjax.user_path import user_path

SUFFIXES = (".npy", ".npz", ".parquet", ".jsonl")
_SHOWN = 5
# Images a part: what a command that is stopped loses at most.
_PART = 4096


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict embed` that images have."""
  parser.add_argument("--split", default="test", help="of a prepared set of images (default: test)")
  parser.add_argument("--size", type=int, help="of images; unless given, as in evaluations")
  parser.add_argument("--short_side", type=int, help="of images before cutting, likewise")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict embed` for an encoder of images."""
  options = request.options
  out, inputs = _checked(options)
  transform = _transform(loaded.config, options)
  data_dir = data_folder(options.data_dir or _data_of(loaded.config).get("data_dir"))
  dataset = find_dataset(inputs[0], data_dir) if len(inputs) == 1 else None
  if dataset is not None:
    data = _prepared(dataset, transform, options)
  else:
    paths, names = find_files(inputs)
    data = ImageFiles(
      paths=paths,
      names=names,
      transform=transform,
      channels=_channels(loaded),
      pixels=_pixels(loaded.config, data_dir),
      batch_size=min(options.batch_size, len(paths)),
    )
  parts = out.with_name(out.name + ".parts")
  claim(parts, _identity(loaded, data, transform, options))
  features, names, missing = _in_parts(loaded.encoder, data, parts, options.batch_size)
  _write(out, features, names)
  shutil.rmtree(parts)
  print(f"features of {len(features)} images, {transform}: {out}")
  if missing:
    shown = "; ".join(missing[:_SHOWN])
    print(f"left out {len(missing)} that cannot be read: {shown}")


def _identity(
  loaded: Loaded, data: ImageFiles | RecordedPass, transform: Resize, options: argparse.Namespace
) -> dict[str, Any]:
  """All that the features depend on."""
  return {
    "input": data.identity(),
    "transform": str(transform),
    "batch_size": options.batch_size,
    "reading": str((getattr(data, "channels", None), getattr(data, "pixels", None))),
    "parameters": sum(fingerprint(split(loaded.encoder)[1]).values()),
    "images_a_part": _PART,
  }


def _in_parts(
  encoder: Any, data: ImageFiles | RecordedPass, parts: Path, batch_size: int
) -> tuple[Float[np.ndarray, "N D"], list[str], list[str]]:
  """Features, names and what could not be read, of which parts may lie there already."""
  size = batch_size * max(_PART // batch_size, 1)
  found: list[tuple[np.ndarray, ...]] = []
  for number, start in enumerate(range(0, data.num_examples, size)):
    path = parts / f"{number:06d}.npz"
    if not path.is_file():
      _write_images(path, encoder, data.piece(start, size))
    try:
      found.append(read_part(path, "features", "names", "missing"))
    except Exception as error:  # of zip and NumPy, for damage
      raise damaged(path, error) from error
  features, names, missing = (list(arrays) for arrays in zip(*found, strict=True))
  whole = np.concatenate(features).astype(np.float32)
  if not len(whole):
    raise UserError(f"--input: none of {data.num_examples} images can be read")
  return whole, np.concatenate(names).tolist(), np.concatenate(missing).tolist()


def _write_images(path: Path, encoder: Any, piece: ImageFiles | RecordedPass) -> None:
  try:
    features = extract_features(encoder, piece).features
  except ValueError as error:
    if _names(piece)[0]:
      raise UserError(f"--workdir: {' '.join(str(error).split())}") from error
    features = np.empty((0, encoder.embed_dim), np.float32)  # none of them can be read
  names, missing = (np.array(texts, dtype=np.str_) for texts in _names(piece))
  write_part(path, features=features, names=names, missing=missing)


def _checked(options: argparse.Namespace) -> tuple[Path, list[str]]:
  if not options.input:
    raise UserError("--input: found nothing, expected images, a folder of them, or a prepared set")
  if options.out is None:
    raise UserError("--out: found nothing, expected a file")
  out = user_path(options.out)
  if out.suffix not in SUFFIXES:
    raise UserError(f"--out: found '{out}', expected one of {', '.join(SUFFIXES)}")
  if out.suffix == ".parquet":
    import_parquet()
  if out.exists():
    raise UserError(f"--out: '{out}' is there already; remove it, or choose another")
  if not out.absolute().parent.is_dir():
    raise UserError(f"--out: there is no folder '{out.parent}'")
  if options.batch_size < 1:
    raise UserError(f"--batch_size: found {options.batch_size}, expected at least 1")
  if options.pool is not None:
    raise UserError(f"--pool: found '{options.pool}', which is for encoders of texts")
  return out, list(options.input)


def _data_of(config: ConfigDict) -> Any:
  return config.get("data") or {}


def _transform(config: ConfigDict, options: argparse.Namespace) -> Resize:
  """The transform of the run's evaluations, or of its training data's size, or the encoder's."""
  found = next(_resizes(config.get("evals")), None)
  size = (_data_of(config).get("transform") or {}).get("size") or _own_size(config)
  if options.size is None and found is None and size is None:
    raise UserError("--size: found nothing, and the run has no evaluation of images")
  try:
    if options.size is not None or options.short_side is not None:
      usual = size if found is None else found.size
      return Resize(usual if options.size is None else options.size, options.short_side)
    return Resize(size) if found is None else found
  except ValueError as error:
    raise UserError(f"--{error}") from error


def _own_size(config: ConfigDict) -> int | None:
  """The size of images that the encoder was made for; None for oblong ones, or any."""
  objective = config.get("objective") or {}
  size = (objective.get("backbone") or objective.get("image") or {}).get("image_size")
  sides = {size} if isinstance(size, int) else set(size or ())
  return sides.pop() if len(sides) == 1 else None


def _resizes(config: Any) -> Iterator[Resize]:
  """Every transform of evaluations in a config."""
  if not isinstance(config, ConfigDict):
    return
  if config.get(TARGET) == f"{Resize.__module__}:{Resize.__qualname__}":
    yield build(config)
  for key in config:
    if key != TARGET:
      yield from _resizes(config[key])


def _channels(loaded: Loaded) -> int:
  found = getattr(loaded.encoder, "num_channels", None)
  backbone = loaded.config.get("objective", {}).get("backbone") or {}
  return found or backbone.get("num_channels") or 3


def _pixels(config: ConfigDict, data_dir: Path) -> Pixels:
  """As the images were understood that the run was trained on, where that is known."""
  name = _data_of(config).get("datasets")
  if not isinstance(name, str) or newest_version(name, data_dir) is None:
    return Pixels()
  pixels = noted_pixels(PreparedSplit(name, "train", data_dir))
  return Pixels() if pixels == UNNOTED else pixels


def _prepared(
  dataset: tuple[str, Path], transform: Resize, options: argparse.Namespace
) -> RecordedPass:
  name, data_dir = dataset
  return RecordedPass(
    ImageData(
      datasets=name,
      split=options.split,
      data_dir=str(data_dir),
      transform=transform,
      batch_size=options.batch_size,
      num_threads=os.cpu_count() or 1,
      max_bad_fraction=1.0,
    )
  )


def _names(data: ImageFiles | RecordedPass) -> tuple[list[str], list[str]]:
  """What the images with features are called, and those that could not be read."""
  if isinstance(data, RecordedPass):
    names = data.names()
    return names, ["a record"] * (data.num_examples - len(names))
  bad = data.unreadable
  missing = [f"{data.names[number]} ({bad[number]})" for number in sorted(bad)]
  return [name for number, name in enumerate(data.names) if number not in bad], missing


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
