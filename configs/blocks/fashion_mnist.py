"""What the Fashion-MNIST configs share: the data's statistics, the ViT, and how it is evaluated.

What is None follows from the network or the data, see docs/configs.md.
"""

from ml_collections import ConfigDict

from configs.blocks import training
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.knn import KNN
from pretrainjax.models.vit import ViT

SIZE = 28
PATCH = 4
NUM_CLASSES = 10
# Of the 60,000 training images, in [0, 1].
MEAN, STD = (0.2860,), (0.3530,)
EMBED_DIM = 96


def embed_dim(smoke: bool) -> int:
  """Width of `vit`."""
  return 16 if smoke else EMBED_DIM


def vit(smoke: bool = False, **changes) -> ConfigDict:
  """A ViT that two CPU cores train in minutes: 49 patches of 4 x 4 pixels, 0.45 M parameters."""
  width = embed_dim(smoke)
  return recipe(
    ViT,
    image_size=SIZE,
    patch_size=PATCH,
    num_channels=1,
    embed_dim=width,
    num_layers=2 if smoke else 4,
    num_heads=2 if smoke else 3,
    mlp_dim=4 * width,
    image_mean=MEAN,
    image_std=STD,
    unroll=4,  # a CPU then keeps no copies of what the layers save, 5 to 10% of a step
    **({"pool": "mean"} | changes),
  )


def data(*, split: str, batch_size: int, transform: ConfigDict, **changes) -> ConfigDict:
  """Fashion-MNIST, decoded once and kept in memory (47 MB)."""
  return spec(
    ImageData,
    datasets="fashion_mnist",
    split=split,
    batch_size=batch_size,
    transform=transform,
    **({"cache": "memory"} | changes),
  )


def train_split(smoke: bool) -> str:
  """All training images, or enough for two steps."""
  return "train[:512]" if smoke else "train"


def still(*, split: str, smoke: bool = False, **changes) -> ConfigDict:
  """A split as it is, for evaluation."""
  size = 64 if smoke else 500
  return data(split=split, batch_size=size, transform=spec(Resize, size=None), **changes)


def tested(smoke: bool) -> ConfigDict:
  """A classifier on the test images."""
  split = "test[:64]" if smoke else "test"
  return spec(ClassificationAccuracy, data=still(split=split, smoke=smoke))


def judged(*, every: int, smoke: bool) -> ConfigDict:
  """Evaluators of fine-tuning: "validation" to choose by, while training, and "test" at the end."""
  held = still(split=train_split(smoke), smoke=smoke, part="held_out")
  validation = spec(ClassificationAccuracy, data=held, every=0 if smoke else every)
  return ConfigDict({"validation": validation, "test": tested(smoke)})


def finetuning(arg: str | None, *, steps: int) -> dict:
  """Arguments of `training.run` by which a form of fine-tuning is judged."""
  smoke = arg == "smoke"
  if training.published(arg):
    return {"evals": ConfigDict({"accuracy": tested(smoke)})}
  every = max(steps // 6, 1)
  chosen = training.chosen_by("validation/top1", every=every)
  return {"evals": judged(every=every, smoke=smoke)} | chosen


def labelled(arg: str | None, *, transform: ConfigDict) -> ConfigDict:
  """What a form of fine-tuning trains on: 1% of the labels, but for those held out to choose by."""
  smoke = arg == "smoke"
  return data(
    split=train_split(smoke),
    batch_size=16 if smoke else 64,
    transform=transform,
    label_fraction=0.1 if smoke else 0.01,
    part="all" if training.published(arg) else "fit",
  )


def evals(*, every: int, smoke: bool = False) -> ConfigDict:
  """While training: kNN on a part of the TRAINING data, and whether features collapse.

  The test images are for `evaluate` alone, so that choosing by these numbers costs nothing.
  """
  train, held = ("train[:256]", "train[256:320]") if smoke else ("train[:17%]", "train[97%:]")
  bank, queries = still(split=train, smoke=smoke), still(split=held, smoke=smoke)
  return ConfigDict(
    {
      "knn": spec(KNN, train=bank, test=queries, every=every),
      "collapse": spec(Collapse, data=queries, every=every),
    }
  )
