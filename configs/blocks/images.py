"""What the configs for a folder of one's own images share, prepared by `prepare image_folder`.

What is None follows from the data: resolution, channels, mean and deviation, classes.
"""

from ml_collections import ConfigDict

from pretrainjax.config import recipe, spec
from pretrainjax.data.image import Resize
from pretrainjax.data.image_data import ImageData
from pretrainjax.models.vit import ViT, vit_variant

# A ViT that two CPU cores train in minutes on pictures of 24 to 64 pixels.
SMALL = {"embed_dim": 96, "num_layers": 4, "num_heads": 3, "mlp_dim": 384, "patch_size": 4}
TINY = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32, "patch_size": 4}
PHOTO_SIZE = 224
FORMS = (None, "photos", "smoke")


def vit(form: str | None, **changes) -> ConfigDict:
  """The ViT of a form: for small pictures, for "photos" of 224 pixels (ViT-S/16), or "smoke"."""
  sizes = {None: SMALL, "smoke": TINY}.get(form) or vit_variant("S/16")
  pixels = dict.fromkeys(("image_size", "num_channels", "image_mean", "image_std"))
  options = {"pool": "mean", "dtype": "bfloat16" if form == "photos" else "float32"}
  unroll = {"unroll": sizes["num_layers"]} if form != "photos" else {}
  return recipe(ViT, **pixels, **sizes, **(options | unroll | changes))


def data(form: str | None, *, batch_size: int, transform: ConfigDict, **changes) -> ConfigDict:
  """The folder's images, small ones kept in memory."""
  options = {"cache": "none", "num_threads": 16} if form == "photos" else {"cache": "memory"}
  return spec(
    ImageData,
    datasets="images",
    batch_size=16 if form == "smoke" else batch_size,
    transform=transform,
    **(options | changes),
  )


def size(form: str | None) -> int | None:
  """The size of training images: as they are where all are alike, 224 pixels of photos."""
  return PHOTO_SIZE if form == "photos" else None


def still(form: str | None, **changes) -> ConfigDict:
  """Images as they are, for evaluation."""
  return data(form, batch_size=500, transform=spec(Resize, size=None), **changes)
