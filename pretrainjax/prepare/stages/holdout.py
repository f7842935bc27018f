"""Which examples are held out: by a hash of each, or the same share of each class."""

import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from pretrainjax.ranges import Rate, Seed, check_ranges


@dataclasses.dataclass(frozen=True)
class Holdout:
  """The shares that are held out where a source has no splits of its own.

  Attributes:
    test_fraction: the fraction of documents held out as "test".
    validation_fraction: the fraction of documents held out as "validation".
    seed: the seed of the hash.
  """

  test_fraction: Rate = 0.05
  validation_fraction: Rate = 0.0
  seed: Seed = 0

  def __post_init__(self):
    check_ranges(self)
    if self.test_fraction + self.validation_fraction >= 1:
      raise ValueError(
        f"test_fraction={self.test_fraction} and validation_fraction={self.validation_fraction}: "
        "expected a sum below 1"
      )

  @property
  def splits(self) -> list[str]:
    """The names of the splits that documents fall into."""
    parts = {"train": 1.0, "test": self.test_fraction, "validation": self.validation_fraction}
    return [split for split, fraction in parts.items() if fraction > 0]

  def split_of(self, text: str) -> str:
    """The split of a document, or of what is to stay together."""
    place = stable_fraction(text, seed=self.seed)
    if place < self.test_fraction:
      return "test"
    return "validation" if place < self.test_fraction + self.validation_fraction else "train"


def stable_fraction(text: str, *, seed: int) -> float:
  """A number in [0, 1) that depends on the text and the seed, on any machine the same."""
  digest = hashlib.blake2b(text.encode(), digest_size=8, key=str(seed).encode()).digest()
  return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


class Stratified(NamedTuple):
  """Holds the same share of each class out, as "test".

  Attributes:
    fraction: the fraction of each class, in [0, 1).
    seed: the seed of the choice, which depends on nothing else.
  """

  fraction: float
  seed: int

  def places(self, label: int, count: int) -> Int[np.ndarray, " K"]:
    """The examples of a class that are held out: round(fraction * count) places, in no order.

    Args:
      label: a number of the class, 0 or more.
      count: the number of its examples.
    """
    rng = np.random.Generator(np.random.Philox(key=[self.seed, label]))
    return rng.permutation(count)[: round(self.fraction * count)]

  def chosen(self, labels: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """A mask over examples in memory, True for those that are held out."""
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
      members = np.flatnonzero(labels == label)
      held_out[members[self.places(int(label), len(members))]] = True
    return held_out
