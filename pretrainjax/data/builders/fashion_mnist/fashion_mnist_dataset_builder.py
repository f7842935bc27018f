"""The tfds builder of Fashion-MNIST."""

from pretrainjax.data.builders.base import CollectedBuilder
from pretrainjax.data.builders.fashion_mnist.source import Source


class Builder(CollectedBuilder, skip_registration=True):
  """Fashion-MNIST as PNG; interchangeable with the tfds catalog's own."""

  name = Source.name
  source = staticmethod(lambda: Source().collect())
  description = "Zalando's article images: a drop-in replacement of MNIST (arXiv 1708.07747)."
  homepage = "https://github.com/zalandoresearch/fashion-mnist"
  license = "MIT"
