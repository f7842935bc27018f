"""Fashion-MNIST: 60,000 and 10,000 grey 28x28 images of ten kinds of clothes (arXiv 1708.07747)."""

import dataclasses

from pretrainjax.data.builders.collected import Collected, array_entries
from pretrainjax.data.builders.fashion_mnist.locate import find_folder
from pretrainjax.data.builders.idx import read_labelled_images
from pretrainjax.errors import UserError

CLASS_NAMES = (
  *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
  *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_COUNTS = {"train": ("train", 60_000), "test": ("t10k", 10_000)}


@dataclasses.dataclass(frozen=True)
class Source:
  """Reads the four idx files.

  Attributes:
    source: folder that holds them; None looks in the Debian package's place, then downloads the
      package without root, then tries the public download.
  """

  source: str | None = None

  name = "fashion_mnist"

  def collect(self) -> Collected:
    """Returns all examples.

    Raises:
      UserError: where no place has the files, or one is damaged.
    """
    splits = {}
    with find_folder(self.source) as folder:
      for split, (stem, count) in _COUNTS.items():
        path = folder / f"{stem}-images-idx3-ubyte.gz"
        images, labels = read_labelled_images(
          path, folder / f"{stem}-labels-idx1-ubyte.gz", num_classes=len(CLASS_NAMES)
        )
        if images.shape != (count, 28, 28, 1):
          raise UserError(f"{path}: holds {images.shape[:3]}, expected {count} images of 28x28")
        splits[split] = array_entries(images, labels, prefix=split)
      origin = str(folder)
    return Collected(splits, CLASS_NAMES, (28, 28, 1), origin=origin)
