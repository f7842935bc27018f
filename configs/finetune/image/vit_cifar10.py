"""Fine-tunes a ViT-Ti/4 on CIFAR-10 by MAE's recipe (arXiv 2111.06377, table 9), on one GPU.

The checkpoint is chosen by "validation": 5% of the training images, which are not trained on. The
test images are measured once, at the end.

Give --config.init=WORKDIR[@STEP] of mae_vit_cifar10. get_config("smoke"): two steps, tiny model.

Command:  pretrainjax finetune --config=vit_cifar10 --workdir=runs/vit_cifar10 \\
            --config.init=runs/mae_vit_cifar10
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import cifar10, finetuning
from configs.blocks.forms import form
from configs.pretrain.image.mae_vit_cifar10 import TINY
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.models.vit import ViT, vit_variant

# Steps, about eleven epochs of the 95%.
EVERY = 1000


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "smoke")
  smoke = arg == "smoke"
  backbone = recipe(
    ViT,
    image_size=cifar10.SIZE,
    **(TINY if smoke else vit_variant("Ti/4")),
    image_mean=cifar10.MEAN,
    image_std=cifar10.STD,
    dtype="float32" if smoke else "bfloat16",
    **finetuning.CHANGES,
  )
  return finetuning.mae_recipe(
    backbone=backbone,
    data=cifar10.data(
      split=cifar10.train_split(smoke),
      part="fit",
      batch_size=16 if smoke else 512,
      transform=spec(RandomResizedCrop, size=None, scale=(0.2, 1.0)),
    ),
    validation=cifar10.still(split=cifar10.train_split(smoke), smoke=smoke, part="held_out"),
    test=cifar10.still(split="test[:16]" if smoke else "test", smoke=smoke),
    learning_rate=1e-3,
    layer_decay=0.75,
    every=EVERY,
    smoke=smoke,
  )
