"""Says which items are like one: `predict similar-items --workdir=WORKDIR --item=TITLE`."""

import argparse
from collections.abc import Sequence

import numpy as np
from flax import nnx

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.evaluators.ranked_items import Asked, Best, best_items
from pretrainjax.evaluators.ranking import item_candidates
from pretrainjax.predict.item_log import open_log
from pretrainjax.types import Recommender


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict similar-items`."""
  parser.add_argument("--item", action="append", help="an id or a title; again for more")
  parser.add_argument("--top", type=int, default=10, help="neighbours of each (default: 10)")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict similar-items`."""
  options = request.options
  if not options.item:
    raise UserError("--item: found nothing, expected an id or a title")
  if options.top < 1:
    raise UserError(f"--top: found {options.top}, expected at least 1")
  log = open_log(loaded, options)
  numbers = [log.names.number(name, flag="--item") for name in options.item]
  found = similar_items(loaded.encoder, numbers, top=min(options.top, log.items.num_items - 1))
  for row, number in enumerate(numbers):
    print(f"{log.names.title(number)} ({log.items.ids[number]})")
    pairs = zip(found.items[row].tolist(), found.scores[row].tolist(), strict=True)
    for place, (item, cosine) in enumerate(pairs, start=1):
      print(f"  {place:2d}. {log.names.title(item)} ({log.items.ids[item]})  {cosine:.4f}")


def similar_items(encoder: Recommender, items: Sequence[int], *, top: int) -> Best:
  """The nearest items of each by the cosine of their vectors; biases do not count.

  Args:
    encoder: the recommender of a run.
    items: the numbers of the items, from 1.
    top: the number of neighbours of each, without itself.
  """
  vectors = np.asarray(item_candidates(*nnx.split(encoder))[0], np.float32)
  norms = np.linalg.norm(vectors, axis=1, keepdims=True)
  unit = vectors / np.where(norms > 0, norms, 1)
  rows = np.array(items, np.int32)
  itself = Asked(np.zeros_like(rows), np.arange(len(rows) + 1), rows)
  return best_items(unit[rows], unit, None, itself, k=top)
