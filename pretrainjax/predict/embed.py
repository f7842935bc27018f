"""Encodes a file of texts: `predict embed --workdir=WORKDIR --input=FILE --out=FILE`.

Images have theirs by `embed_images`, sounds by `embed_sounds`.

Order is kept, and a command that was stopped goes on where it was when it is given again: finished
parts lie in OUT.parts until all are there.
"""

import argparse
import itertools
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from flax import nnx
from jaxtyping import Float
from tqdm import tqdm

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.fingerprint import fingerprint
from pretrainjax.command import Request
from pretrainjax.errors import UserError, nearest
from pretrainjax.models.image_encoder import ImageEncoder
from pretrainjax.models.layers.embedding import Pool
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.objectives.split import split
from pretrainjax.predict import embed_images, embed_sounds
from pretrainjax.predict.embedding import embed_texts, with_begin_and_end
from pretrainjax.predict.parts import claim, damaged, read_part, write_part
from pretrainjax.predict.text_inputs import Texts, open_texts
from pretrainjax.predict.texts import FORMS, import_parquet
from pretrainjax.predict.texts import add_flags as add_text_flags
from pretrainjax.types import Encoder
from pretrainjax.user_path import user_path

_SUFFIXES = (".npy", ".parquet")


class _Task(NamedTuple):
  """The encoder, the texts and the file of features of one command.

  Attributes:
    encoder: the encoder, with the pooling that was asked for.
    texts: the texts, in their order.
    out: the file of features.
    identity: all that the features depend on; plain values.
  """

  encoder: Encoder
  texts: Texts
  out: Path
  identity: dict[str, Any]


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict embed`."""
  parser.add_argument(
    "--input",
    metavar="FILE",
    nargs="+",
    help=f"texts: {FORMS}; images: files, a folder or a prepared set; sounds: files, or folders",
  )
  parser.add_argument(
    "--out",
    metavar="FILE",
    help="features: .npy, or .parquet with the texts; of images and sounds .npz and .jsonl too",
  )
  add_text_flags(parser, usual="text")
  parser.add_argument("--batch_size", type=int, default=64, help="at once (default: 64)")
  parser.add_argument("--pool", help="cls, mean or last; unless given, as in training")
  embed_images.add_flags(parser)
  embed_sounds.add_flags(parser)


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict embed`."""
  if isinstance(loaded.encoder, ImageEncoder):
    embed_images.work(request, loaded)
    return
  if isinstance(loaded.encoder, SoundEncoder):
    embed_sounds.work(request, loaded)
    return
  task = _checked(request, loaded)
  parts = task.out.with_name(task.out.name + ".parts")
  claim(parts, task.identity)
  count, size = task.texts.num_examples, task.texts.part_size
  paths = [parts / f"{i:06d}.npz" for i in range(-(-count // size))]
  texts = task.texts.texts()
  with tqdm(total=count, desc="embed", unit=" texts", disable=None) as progress:
    for path in paths:
      chunk = list(itertools.islice(texts, size))
      if not path.is_file():
        _write_part(path, chunk, task)
      progress.update(len(chunk))
  temporary = parts / f"whole{task.out.suffix}"
  assemble = _assemble_npy if task.out.suffix == ".npy" else _assemble_parquet
  num_cut = assemble(temporary, paths, task)
  os.replace(temporary, task.out)
  shutil.rmtree(parts)
  cut = f" ({num_cut} of them cut to {task.encoder.max_length} tokens)" if num_cut else ""
  print(f"features of {count} texts{cut}: {task.out}")


def _checked(request: Request, loaded: Loaded) -> _Task:
  options = request.options
  for flag in ("input", "out"):
    if not getattr(options, flag):
      raise UserError(f"--{flag}: found nothing, expected a file")
  out = user_path(options.out)
  if out.suffix not in _SUFFIXES:
    raise UserError(f"--out: found '{out}', expected one of {', '.join(_SUFFIXES)}")
  if out.suffix == ".parquet":
    import_parquet()
  if out.exists():
    raise UserError(f"--out: '{out}' is there already; remove it, or choose another")
  if options.batch_size < 1:
    raise UserError(f"--batch_size: found {options.batch_size}, expected at least 1")
  texts = open_texts(loaded, options)
  encoder = _pooling(loaded.encoder, options.pool)
  identity = texts.identity() | {
    "pool": getattr(encoder, "pool", None),
    "parameters": sum(fingerprint(split(encoder)[1]).values()),
    "texts_a_part": texts.part_size,
  }
  return _Task(encoder, texts, out, identity)


def _pooling(encoder: Any, pool: str | None) -> Any:
  if pool is None:
    return encoder
  if pool not in get_args(Pool):
    raise UserError(f"--pool: found '{pool}'{nearest(pool, get_args(Pool))}")
  if not hasattr(encoder, "pool"):
    raise UserError(f"--pool: found '{pool}', but a {type(encoder).__name__} pools in one way only")
  encoder = nnx.clone(encoder)
  encoder.pool = pool
  return encoder


def _write_part(path: Path, texts: list[str], task: _Task) -> None:
  longest, tokenizer = task.encoder.max_length, task.texts.tokenizer
  token_lists = tokenizer.encode_batch(texts)
  rows = [with_begin_and_end(tokens, tokenizer, length=longest) for tokens in token_lists]
  features = embed_texts(task.encoder, rows, batch_size=task.texts.batch_size)
  bad = int((~np.isfinite(features).all(axis=1)).sum())
  if bad:
    raise UserError(
      f"--workdir: features of {bad} of {len(features)} texts are not finite: the parameters have "
      "diverged; take an earlier checkpoint (WORKDIR@STEP)"
    )
  num_cut = sum(len(t) + 2 > len(row) for t, row in zip(token_lists, rows, strict=True))
  write_part(path, features=features, num_cut=num_cut)


def _assemble_npy(target: Path, paths: list[Path], task: _Task) -> int:
  shape = (task.texts.num_examples, task.encoder.embed_dim)
  whole = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=shape)
  num_cut = 0
  for number, path in enumerate(paths):
    features, cut = _part(path, number, task)
    start = number * task.texts.part_size
    whole[start : start + len(features)] = features
    num_cut += cut
  whole.flush()
  return num_cut


def _assemble_parquet(target: Path, paths: list[Path], task: _Task) -> int:
  import pyarrow as pa  # optional, and slow to load

  vector = pa.list_(pa.float32(), task.encoder.embed_dim)
  schema = pa.schema([(task.texts.field, pa.string()), ("embedding", vector)])
  texts = task.texts.texts()
  num_cut = 0
  with import_parquet().ParquetWriter(target, schema) as writer:
    for number, path in enumerate(paths):
      features, cut = _part(path, number, task)
      flat = pa.array(features.reshape(-1))
      columns = [
        list(itertools.islice(texts, task.texts.part_size)),
        pa.FixedSizeListArray.from_arrays(flat, type=vector),
      ]
      writer.write_table(pa.table(columns, schema=schema))
      num_cut += cut
  return num_cut


def _part(path: Path, number: int, task: _Task) -> tuple[Float[np.ndarray, "N D"], int]:
  try:
    found, cut = read_part(path, "features", "num_cut")
    features, num_cut = found.astype(np.float32), int(cut)
    size = task.texts.part_size
    wanted = (min(size, task.texts.num_examples - number * size), task.encoder.embed_dim)
    if features.shape != wanted or not np.isfinite(features).all():
      raise ValueError(f"found {features.shape}, expected finite features of shape {wanted}")
    return features, num_cut
  except Exception as error:  # of zip and NumPy, for damage
    raise damaged(path, error) from error
