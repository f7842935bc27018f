"""Small labelled parts of a dataset: the same share of each class, the same for the same seed."""

import numpy as np

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
