"""What the Fashion-MNIST configs share: the data's statistics, the ViT, and how it is evaluated."""

from ml_collections import ConfigDict
from pretrainjax.data.image import Resize
from pretrainjax.data.pipeline import ImageData

from pretrainjax.config import recipe, spec
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.knn import KNN
from pretrainjax.models.vit import ViT

SIZE = 28
NUM_CLASSES = 10
# Of the 60,000 training images, in [0, 1].
MEAN, STD = (0.2860,), (0.3530,)


def vit(smoke: bool = False, **changes) -> ConfigDict:
  """A ViT that two CPU cores train in minutes: 49 patches of 4 x 4 pixels."""
  size = {"embed_dim": 128, "num_layers": 6, "num_heads": 4, "mlp_dim": 512}
  if smoke:
    size = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}
  arguments = {"image_size": SIZE, "patch_size": 4, "num_channels": 1} | size
  return recipe(ViT, **arguments, image_mean=MEAN, image_std=STD, **changes)


def data(*, split: str, batch_size: int, transform: ConfigDict, **changes) -> ConfigDict:
  """Fashion-MNIST, decoded once and kept in memory (47 MB)."""
  return spec(
    ImageData,
    datasets="fashion_mnist",
    split=split,
    batch_size=batch_size,
    transform=transform,
    cache="memory",
    **changes,
  )


def evals(*, every: int, smoke: bool = False) -> ConfigDict:
  """kNN on a part of the data while training, and whether features collapse."""
  train, test = ("train[:256]", "test[:64]") if smoke else ("train[:10000]", "test[:2000]")
  still = {"batch_size": 64 if smoke else 500, "transform": spec(Resize, size=SIZE)}
  bank, queries = data(split=train, **still), data(split=test, **still)
  return ConfigDict(
    {
      "knn": spec(KNN, train=bank, test=queries, every=every),
      "collapse": spec(Collapse, data=queries, every=every),
    }
  )
