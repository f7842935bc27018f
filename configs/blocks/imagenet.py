"""What the ImageNet-1k configs share."""

from ml_collections import ConfigDict

from pretrainjax.config import spec
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.knn import KNN

SIZE = 224
NUM_CLASSES = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def data(*, split: str, batch_size: int, transform: ConfigDict, **changes) -> ConfigDict:
  """ImageNet-1k as `tfds build imagenet2012` prepares it, unpacked while training."""
  return spec(
    ImageData,
    datasets="imagenet2012",
    split=split,
    batch_size=batch_size,
    transform=transform,
    **({"num_threads": 16} | changes),
  )


def train_split(smoke: bool) -> str:
  """All training images, or enough for two steps."""
  return "train[:64]" if smoke else "train"


def still(*, split: str, smoke: bool = False) -> ConfigDict:
  """A split as it is, for evaluation: short side 256, centre 224."""
  transform = spec(Resize, size=SIZE, short_side=256)
  return data(split=split, batch_size=16 if smoke else 500, transform=transform)


def evals(*, every: int, smoke: bool = False) -> ConfigDict:
  """While training: kNN on a tenth and collapse, on training images only."""
  train, held = ("train[:32]", "train[32:48]") if smoke else ("train[:10%]", "train[99%:]")
  bank, queries = still(split=train, smoke=smoke), still(split=held, smoke=smoke)
  k = (5,) if smoke else (20, 200)
  return ConfigDict(
    {
      "knn": spec(KNN, train=bank, test=queries, k=k, every=every),
      "collapse": spec(Collapse, data=queries, every=every),
    }
  )
