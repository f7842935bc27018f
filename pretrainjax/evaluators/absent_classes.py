"""Test examples whose class has no training example: no classifier that is fitted can find it."""

import logging
from typing import Literal

import numpy as np
from jaxtyping import Int

from pretrainjax.evaluators.features import Features

# Whether such examples count as errors, or are not tested.
AbsentClasses = Literal["wrong", "left_out"]
_log = logging.getLogger(__name__)


def counted(
  test: Features,
  train_labels: Int[np.ndarray, " M"],
  *,
  num_classes: int,
  absent_classes: AbsentClasses,
  name: str,
) -> tuple[Features, dict[str, float]]:
  """Chooses the test examples that count, and says so where they are not all.

  Args:
    test: the labelled examples of the test split.
    train_labels: the classes of the training examples.
    num_classes: the number of classes of the dataset, K.
    absent_classes: what becomes of examples whose class is not among these.
    name: the evaluator's, for messages.

  Returns:
    The examples, and "of_absent_classes", the share of all test examples that have such a class, as
    a number by its name; none where training has every class.

  Raises:
    ValueError: where all would be left out.
  """
  absent = np.setdiff1d(np.arange(num_classes), train_labels)
  if not absent.size:
    return test, {}
  found = np.isin(test.labels, absent)
  _log.warning(
    "%s: train has no example of %d of %d classes; %d of %d test examples are of these, and %s",
    name,
    absent.size,
    num_classes,
    found.sum(),
    len(found),
    "count as errors" if absent_classes == "wrong" else "are left out",
  )
  share = {"of_absent_classes": float(found.mean())}
  if absent_classes == "wrong":
    return test, share
  if found.all():
    raise ValueError("test: found no example of a class that train has, expected some")
  return Features(test.features[~found], test.labels[~found]), share
