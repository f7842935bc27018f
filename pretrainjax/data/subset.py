"""Small labelled parts of a dataset: the same share of each class, the same for the same seed."""

from typing import Literal

import numpy as np

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError

# Of a dataset without a validation split: the share that is held out of training, of each class.
HELD_OUT = 0.05


def held_out(labels: np.ndarray, *, fraction: float = HELD_OUT, seed: int = 0) -> np.ndarray:
  """Chooses what is kept away from training to choose by: the same share of each class.

  At least one example in all, and none of a class that has only one.

  Args:
    labels: of all examples, int "N"; all alike where there are none.
    fraction: share of each class, in (0, 1).
    seed: other seeds choose other examples.

  Returns:
    A mask, True for what is held out, bool "N".
  """
  mask = np.zeros(len(labels), bool)
  mask[stratified(labels, fraction=fraction, seed=seed)] = True
  names, counts = np.unique(labels, return_counts=True)
  return mask & ~np.isin(labels, names[counts == 1])


def stratified(labels: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
  """Chooses examples class by class.

  Args:
    labels: the labels of all examples, int "N".
    fraction: share of each class, in (0, 1]; at least one example of a class is kept.
    seed: other seeds choose other examples.

  Returns:
    Sorted indices.
  """
  chosen = []
  for label in np.unique(labels):
    members = np.flatnonzero(labels == label)
    count = max(1, round(fraction * len(members)))
    # A generator a class: a class more or less does not change what the others keep.
    rng = np.random.default_rng((seed, int(label)))
    chosen.append(rng.permutation(members)[:count])
  return np.sort(np.concatenate(chosen))


def rows_used(
  source: PreparedSplit,
  *,
  pieces: int,
  part: Literal["all", "fit", "held_out"],
  fraction: float,
  seed: int,
) -> np.ndarray:
  """Chooses the rows of a dataset that a pipeline uses, all pieces of a record or none.

  Args:
    source: the split of a dataset.
    pieces: the number of rows that each record is cut into.
    part: what of it, see `Pipeline`.
    fraction: share of each class, in (0, 1].
    seed: the seed of that choice.

  Returns:
    Sorted numbers of rows, int "N".

  Raises:
    UserError: where none can be held out, or a share of classes is wanted without labels.
  """
  rows = np.arange(len(source) * pieces)
  if part != "all" and source.validation is None:
    away = np.repeat(_held_out_of(source), pieces)
    rows = rows[away if part == "held_out" else ~away]
    if not len(rows):
      raise UserError(
        f"--{source.key}.part: found '{part}', but the {len(source)} examples of "
        f"{source.name}/{source.split} are too few to hold one out; expected 'all'"
      )
  if fraction == 1:
    return rows
  if not source.has_labels:
    raise UserError(f"--{source.key}.label_fraction: dataset '{source.name}' has no labels")
  return rows[stratified(np.repeat(source.labels, pieces)[rows], fraction=fraction, seed=seed)]


def _held_out_of(source: PreparedSplit) -> np.ndarray:
  """As `held_out`; windows of one context, and sounds of one speaker, stay together."""
  groups = source.context_ids if source.context_ids is not None else source.group_ids
  if groups is not None and len(np.unique(groups)) > 1:
    _, first, places = np.unique(groups, return_index=True, return_inverse=True)
    return held_out(np.zeros(len(first), np.int32))[places]
  return held_out(source.labels if source.has_labels else np.zeros(len(source), np.int32))
