"""What the ImageNet-1k configs share."""

from ml_collections import ConfigDict

from pretrainjax.augment.color import ColorAugment
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.knn import KNN
from pretrainjax.models.vit import ViT, vit_variant

SIZE = 224
NUM_CLASSES = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Of the smoke forms' ViTs.
TINY = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32, "patch_size": 16}


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


def dtype(smoke: bool) -> str:
  """What is computed in."""
  return "float32" if smoke else "bfloat16"


def vit(variant: str, *, smoke: bool, **changes) -> ConfigDict:
  """A ViT by name, "B/16", or a tiny one; `changes` are further arguments."""
  size = TINY if smoke else vit_variant(variant)
  norm = {"image_mean": MEAN, "image_std": STD}
  return recipe(ViT, image_size=SIZE, **size, **norm, dtype=dtype(smoke), **changes)


def simclr_colors() -> ConfigDict:
  """SimCLR's jitter of strength 1 with blur (arXiv 2002.05709, appendix A)."""
  jitter = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
  return spec(ColorAugment, **jitter, gray_probability=0.2, blur_probability=0.5)


def train_split(smoke: bool) -> str:
  """All training images, or enough for two steps."""
  return "train[:64]" if smoke else "train"


def still(*, split: str, smoke: bool = False, **changes) -> ConfigDict:
  """A split as it is, for evaluation: short side 256, centre 224."""
  transform = spec(Resize, size=SIZE, short_side=256)
  return data(split=split, batch_size=16 if smoke else 500, transform=transform, **changes)


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
