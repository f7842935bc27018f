"""Starts a recommender's items by their texts: `predict start-items --workdir=TEXT_ENCODER`.

  pretrainjax predict start-items --workdir=hf:MODEL --recommender=esasrec_interactions \\
    --datasets=movielens --out=runs/by_title
  pretrainjax pretrain --config=esasrec_interactions --datasets=movielens \\
    --config.init=runs/by_title

What is written is the recommender before its first step, in a run's folder: its item embeddings are
the features of titles and of what else the table of items knows, all else is as the config has it.
Items that nobody took in training then lie beside those that are described alike.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.command import Request
from pretrainjax.config.allowed import ANYTHING
from pretrainjax.config.text import load_config
from pretrainjax.data.item_table import ItemTable
from pretrainjax.errors import UserError
from pretrainjax.evaluators.ranking_base import item_table
from pretrainjax.predict.embedding import embed_texts, tokenizer_of, with_begin_and_end
from pretrainjax.train.assemble import Run, assemble
from pretrainjax.user_path import user_path

_TABLE = ("encoder", "table", "item_embedding")


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict start-items`."""
  parser.add_argument("--recommender", metavar="CONFIG", help="the config whose items are started")
  parser.add_argument("--out", metavar="DIR", help="the folder for it, as of a run")
  parser.add_argument("--batch_size", type=int, default=64, help="texts at once (default: 64)")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict start-items`."""
  options = request.options
  for flag, what in (("recommender", "config"), ("out", "folder")):
    if not getattr(options, flag):
      raise UserError(f"--{flag}: found nothing, expected a {what}")
  out = user_path(options.out)
  if out.exists():
    raise UserError(f"--out: '{out}' is there already; remove it, or choose another")
  run = assemble(_config(options), allow=ANYTHING)
  source = run.data.sources[0]
  table = item_table(source)
  texts = [text_of(table, number) for number in range(1, table.num_items + 1)]
  features = _features(loaded, texts, batch_size=options.batch_size)
  _save(run, features, out)
  told = sum(bool(text) for text in texts)
  print(f"{told:,} of {len(texts):,} items of {source.name} start by their texts: {out}")
  print(f"train it: pretrainjax pretrain --config={options.recommender} --config.init={out}")


def text_of(table: ItemTable, number: int) -> str:
  """What is known of an item, as a text: its title, and the values of its features.

  >>> counts = np.zeros(2, np.int64)
  >>> table = ItemTable(["", "1"], ["", "Alien"], counts, [{}, {"genres": ["Horror", "Sci-Fi"]}])
  >>> text_of(table, 1)
  'Alien. genres: Horror, Sci-Fi'
  """
  parts = [table.titles[number]] if table.titles[number] else []
  for name, value in table.features[number].items():
    values = value if isinstance(value, list) else [value]
    parts.append(f"{name}: {', '.join(map(str, values))}")
  return ". ".join(parts)


def reduced(features: Float[np.ndarray, "N E"], *, width: int) -> Float[np.ndarray, "N D"]:
  """The features along the directions in which they differ most, with a standard deviation of 1.

  Args:
    features: the features of all texts.
    width: the number of directions, at most E; fewer where there are not as many.
  """
  centred = features - features.mean(axis=0, keepdims=True)
  _, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
  found = centred @ directions[:, ::-1][:, :width]
  return (found / max(float(found.std()), 1e-12)).astype(np.float32)


def _config(options: argparse.Namespace) -> ConfigDict:
  config = load_config(options.recommender)
  if "objective" not in config or "data" not in config:
    raise UserError(f"--recommender: '{options.recommender}' is no config of pretraining")
  for key in ("datasets", "data_dir"):
    if getattr(options, key) is not None:
      config.data[key] = getattr(options, key)
  config.evals = ConfigDict()  # their data need not be there
  return config


def _features(loaded: Loaded, texts: list[str], *, batch_size: int) -> Float[np.ndarray, "N E"]:
  tokenizer = tokenizer_of(loaded)
  longest = getattr(loaded.encoder, "max_length", None)
  rows = [
    with_begin_and_end(tokens, tokenizer, length=longest) or [tokenizer.unknown_id]
    for tokens in tokenizer.encode_batch(texts)
  ]
  found = embed_texts(loaded.encoder, rows, batch_size=batch_size)
  if not np.isfinite(found).all():
    raise UserError("--workdir: features of texts are not finite: the parameters have diverged")
  return found


def _save(run: Run, features: Float[np.ndarray, "N E"], out: Path) -> None:
  state = jax.jit(run.init)()
  table = _table(state.params, run)
  vectors = reduced(features, width=table.shape[1])
  scale = float(np.std(table))  # what the config starts from, so that its rate fits
  table[1 : len(vectors) + 1, : vectors.shape[1]] = vectors * scale
  state.params[_TABLE[0]][_TABLE[1]][_TABLE[2]] = jax.numpy.asarray(table)
  out.mkdir(parents=True)
  with Checkpoints(out) as checkpoints:
    checkpoints.save(0, state, config=run.config)


def _table(params: Any, run: Run) -> Float[np.ndarray, "rows D"]:
  for name in _TABLE:
    if name not in params:
      found = type(run.objective).__name__
      raise UserError(f"--recommender: found {found}, expected one with a table of items")
    params = params[name]
  return np.array(params, np.float32)
