"""Small labelled parts of a dataset: as much of each class, the same for the same seed."""

import logging
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError

# Of a dataset without a validation split: the share that is held out of training, of each class.
HELD_OUT = 0.05
_SHOWN = 5  # classes
_log = logging.getLogger(__name__)


class Subset(NamedTuple):
  """Which rows of a dataset a pipeline uses; the fields are those of `Pipeline`.

  Attributes:
    part: what of the dataset.
    label_fraction: share of each class, in (0, 1].
    examples_per_class: the number of rows of each class; None takes that share.
    label_seed: the seed of the choice.
  """

  part: Literal["all", "fit", "held_out"] = "all"
  label_fraction: float = 1.0
  examples_per_class: int | None = None
  label_seed: int = 0


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
  """Chooses the same share of the examples of each class.

  Args:
    labels: the labels of all examples, int "N"; -1, those without one, are a class too.
    fraction: share of each class, in (0, 1]; at least one example of a class is kept.
    seed: other seeds choose other examples.

  Returns:
    Sorted indices.
  """
  return _by_class(labels, lambda count: max(1, round(fraction * count)), seed)


def so_many(labels: np.ndarray, *, per_class: int, seed: int) -> np.ndarray:
  """Chooses the same number of examples of each class; a class with fewer keeps all it has.

  Fewer are a part of more, by the same seed, and of a larger share by `stratified`.

  Args:
    labels: the labels of all examples, int "N"; -1, those without one, are left out.
    per_class: the number of examples of a class, at least 1.
    seed: other seeds choose other examples.

  Returns:
    Sorted indices.
  """
  known = np.flatnonzero(labels >= 0)
  return known[_by_class(labels[known], lambda count: min(per_class, count), seed)]


def _by_class(labels: np.ndarray, size: Callable[[int], int], seed: int) -> np.ndarray:
  chosen = [np.zeros(0, np.intp)]
  for label in np.unique(labels):
    members = np.flatnonzero(labels == label)
    # A generator a class: a class more or less does not change what the others keep.
    rng = np.random.default_rng((seed, int(label) % 2**64))
    chosen.append(rng.permutation(members)[: size(len(members))])
  return np.sort(np.concatenate(chosen))


def rows_used(source: PreparedSplit, subset: Subset, *, pieces: int) -> np.ndarray:
  """Chooses the rows of a dataset that a pipeline uses, all pieces of a record or none.

  Args:
    source: the split of a dataset.
    subset: what of it.
    pieces: the number of rows that each record is cut into.

  Returns:
    Sorted numbers of rows, int "N".

  Raises:
    UserError: where none can be held out, or a part of each class is wanted without labels.
  """
  rows = np.arange(len(source) * pieces)
  if subset.part != "all" and source.validation is None:
    away = np.repeat(_held_out_of(source), pieces)
    rows = rows[away if subset.part == "held_out" else ~away]
    if not len(rows):
      raise UserError(
        f"--{source.key}.part: found '{subset.part}', but the {len(source)} examples of "
        f"{source.name}/{source.split} are too few to hold one out; expected 'all'"
      )
  few = subset.examples_per_class
  if subset.label_fraction == 1 and few is None:
    return rows
  if not source.has_labels:
    option = "label_fraction" if few is None else "examples_per_class"
    raise UserError(f"--{source.key}.{option}: dataset '{source.name}' has no labels")
  labels = np.repeat(source.labels, pieces)[rows]
  if few is None:
    return rows[stratified(labels, fraction=subset.label_fraction, seed=subset.label_seed)]
  _tell_of_smaller(labels, few, source)
  return rows[so_many(labels, per_class=few, seed=subset.label_seed)]


def _tell_of_smaller(labels: np.ndarray, per_class: int, source: PreparedSplit) -> None:
  """Says which classes have fewer examples than were asked for.

  Raises:
    UserError: where none has any.
  """
  counts = np.bincount(labels[labels >= 0], minlength=len(source.class_names))
  where = f"{source.name}/{source.split}"
  if not counts.any():
    raise UserError(f"--{source.key}.examples_per_class: no example of {where} has a class")
  fewer = np.flatnonzero(counts < per_class)
  if len(fewer):
    shown = [f"{source.class_names[i]} {counts[i]}" for i in fewer[:_SHOWN]]
    more = ", ..." if len(fewer) > _SHOWN else ""
    _log.warning(
      "%s: %d of %d classes have fewer than %d examples, and keep all of them: %s%s",
      where,
      len(fewer),
      len(counts),
      per_class,
      ", ".join(shown),
      more,
    )


def _held_out_of(source: PreparedSplit) -> np.ndarray:
  """As `held_out`; windows of one context, and sounds of one speaker, stay together."""
  groups = source.context_ids if source.context_ids is not None else source.group_ids
  if groups is not None and len(np.unique(groups)) > 1:
    _, first, places = np.unique(groups, return_index=True, return_inverse=True)
    return held_out(np.zeros(len(first), np.int32))[places]
  return held_out(source.labels if source.has_labels else np.zeros(len(source), np.int32))
