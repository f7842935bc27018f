"""scikit-learn's digits: 1,797 grey 8x8 images, the last resort where nothing else can be had."""

import dataclasses

import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.prepare.image.collected import Collected, array_entries, stratified_holdout


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads the set that ships inside of scikit-learn.

  Attributes:
    test_fraction: of each class, held out by `seed`: the set has no split of its own.
    seed: of the split.
  """

  test_fraction: float = 0.2
  seed: int = 0

  name = "digits"

  def __post_init__(self):
    if not 0 <= self.test_fraction < 1:
      raise ValueError(f"test_fraction={self.test_fraction}: expected in [0, 1)")

  def collect(self) -> Collected:
    """Returns all examples.

    Raises:
      UserError: without scikit-learn.
    """
    try:
      from sklearn.datasets import load_digits  # an optional package
    except ImportError as error:
      raise UserError("digits: needs scikit-learn; `pip install scikit-learn`") from error
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]  # values are 0..16
    test = stratified_holdout(digits.target, fraction=self.test_fraction, seed=self.seed)
    splits = {"train": ~test} | ({"test": test} if test.any() else {})
    return Collected(
      {
        name: array_entries(images[rows], digits.target[rows], prefix=name)
        for name, rows in splits.items()
      },
      class_names=tuple("0123456789"),
      image_shape=(8, 8, 1),
      origin="scikit-learn",
    )
