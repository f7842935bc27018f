"""What the CIFAR-10 configs share."""

from ml_collections import ConfigDict

from pretrainjax.config import spec
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.knn import KNN

SIZE = 32
NUM_CLASSES = 10
# Of the 50,000 training images, in [0, 1].
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def data(*, split: str, batch_size: int, transform: ConfigDict, **changes) -> ConfigDict:
  """CIFAR-10, decoded once and kept in memory (154 MB)."""
  return spec(
    ImageData,
    datasets="cifar10",
    split=split,
    batch_size=batch_size,
    transform=transform,
    **({"cache": "memory", "num_threads": 8} | changes),
  )


def train_split(smoke: bool) -> str:
  """All training images, or enough for two steps."""
  return "train[:64]" if smoke else "train"


def still(*, split: str, smoke: bool = False, **changes) -> ConfigDict:
  """A split as it is, for evaluation."""
  size = 16 if smoke else 500
  return data(split=split, batch_size=size, transform=spec(Resize, size=None), **changes)


def evals(*, every: int, smoke: bool = False) -> ConfigDict:
  """While training: kNN and collapse, on training images only; see the blocks of Fashion-MNIST."""
  train, held = ("train[:32]", "train[32:48]") if smoke else ("train[:45000]", "train[45000:]")
  bank, queries = still(split=train, smoke=smoke), still(split=held, smoke=smoke)
  k = (5,) if smoke else (20, 200)
  return ConfigDict(
    {
      "knn": spec(KNN, train=bank, test=queries, k=k, every=every),
      "collapse": spec(Collapse, data=queries, every=every),
    }
  )
