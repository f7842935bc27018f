"""Small labelled parts of a dataset: the same share of each class, the same for the same seed."""

import numpy as np


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
