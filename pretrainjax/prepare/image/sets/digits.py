"""scikit-learn's digits: 1,797 grey 8x8 images, the last resort where nothing else can be had."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.prepare.contract import Corpus
from pretrainjax.prepare.image.example import array_corpus
from pretrainjax.prepare.image.preparation import ImagePreparation
from pretrainjax.prepare.stages.holdout import Stratified
from pretrainjax.ranges import Rate, Seed, check_ranges

_INFO = {
  "description": "Optical recognition of handwritten digits, as shipped by scikit-learn.",
  "homepage": "https://archive.ics.uci.edu/dataset/80",
  "license": "CC-BY-4.0",
}


@dataclasses.dataclass(frozen=True)
class Source:
  """The source of the digits that ship inside of scikit-learn.

  Attributes:
    test_fraction: share of each class, in [0, 1), held out by `seed`: the set has no split of its
      own.
    seed: the seed of the split.
  """

  test_fraction: Rate = 0.2
  seed: Seed = 0

  name = "digits"
  preparation = ImagePreparation()

  def __post_init__(self):
    check_ranges(self)

  @contextlib.contextmanager
  def open(self, data_dir: Path) -> Iterator[Corpus]:
    """Yields all examples.

    Raises:
      UserError: without scikit-learn.
    """
    try:
      from sklearn.datasets import load_digits  # an optional package
    except ImportError as error:
      raise UserError("digits: needs scikit-learn; `pip install scikit-learn`") from error
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]  # values are 0..16
    test = Stratified(self.test_fraction, self.seed).chosen(digits.target)
    splits = {"train": ~test} | ({"test": test} if test.any() else {})
    yield array_corpus(
      {name: (images[rows], digits.target[rows]) for name, rows in splits.items()},
      class_names=tuple("0123456789"),
      origin="scikit-learn",
      info=_INFO,
    )
