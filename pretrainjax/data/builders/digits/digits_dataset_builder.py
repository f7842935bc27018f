"""The tfds builder of scikit-learn's digits."""

from pretrainjax.data.builders.base import CollectedBuilder
from pretrainjax.data.builders.digits.source import Source


class Builder(CollectedBuilder, skip_registration=True):
  """Digits as PNG: for tests, and where no real dataset can be had."""

  name = Source.name
  source = staticmethod(lambda: Source().collect())
  description = "Optical recognition of handwritten digits, as shipped by scikit-learn."
  homepage = "https://archive.ics.uci.edu/dataset/80"
  license = "CC-BY-4.0"
