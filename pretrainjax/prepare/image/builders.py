"""The tfds builder that all of ours share: it needs no TensorFlow.

tfds encodes arrays with TensorFlow, so images are handed over as a file's bytes, and it writes
array_record, the format that needs none of it.
"""

from collections.abc import Callable, Iterator

import tensorflow_datasets as tfds
from tqdm import tqdm

from pretrainjax.prepare.image.collected import Collected, Entry
from pretrainjax.prepare.image.sets.digits import Source as Digits
from pretrainjax.prepare.image.sets.fashion_mnist import Source as FashionMnist


class CollectedBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Writes what a source collected.

  A subclass sets VERSION, `source` (what collects, where none is given) and the words of
  `description`, `homepage`, `license`; its folder's name is the dataset's.
  """

  VERSION = tfds.core.Version("1.0.0")
  source: Callable[[], Collected]
  description = ""
  homepage = ""
  license = ""

  def __init__(self, *, collected: Collected | None = None, **kwargs):
    self._collected = collected
    super().__init__(file_format="array_record", **kwargs)

  @property
  def collected(self) -> Collected:
    """The examples; collected at first use."""
    if self._collected is None:
      self._collected = type(self).source()
    return self._collected

  def _info(self) -> tfds.core.DatasetInfo:
    features = {
      "image": tfds.features.Image(shape=self.collected.image_shape),
      "filename": tfds.features.Text(),
    }
    if self.collected.class_names:
      features["label"] = tfds.features.ClassLabel(names=list(self.collected.class_names))
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(features),
      supervised_keys=("image", "label") if "label" in features else None,
      description=self.description,
      homepage=self.homepage or None,
      license=self.license or None,
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
    return {
      name: self._generate_examples(name, entries)
      for name, entries in self.collected.splits.items()
    }

  def _generate_examples(self, split: str, entries: list[Entry]) -> Iterator[tuple[str, dict]]:
    for entry in tqdm(entries, desc=f"write {split}", unit=" images", mininterval=0.5):
      example = {"image": entry.encoded(), "filename": entry.key}
      if entry.label is not None:
        example["label"] = entry.label
      yield entry.key, example


class DigitsBuilder(CollectedBuilder, skip_registration=True):
  """Digits as PNG: for tests, and where no real dataset can be had."""

  name = Digits.name
  source = staticmethod(lambda: Digits().collect())
  description = "Optical recognition of handwritten digits, as shipped by scikit-learn."
  homepage = "https://archive.ics.uci.edu/dataset/80"
  license = "CC-BY-4.0"


class FashionMnistBuilder(CollectedBuilder, skip_registration=True):
  """Fashion-MNIST as PNG; interchangeable with the tfds catalog's own."""

  name = FashionMnist.name
  source = staticmethod(lambda: FashionMnist().collect())
  description = "Zalando's article images: a drop-in replacement of MNIST (arXiv 1708.07747)."
  homepage = "https://github.com/zalandoresearch/fashion-mnist"
  license = "MIT"
