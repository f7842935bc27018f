"""MAE (arXiv 2111.06377) with a ViT-Ti/4 on CIFAR-10, sized for one GPU.

Optimizer and masking of the paper; the learning rate follows its linear rule, 1.5e-4 x batch /
256, tenfold for so small a network. get_config("smoke"): two steps of a tiny model.

Command:  pretrainjax pretrain --config=mae_vit_cifar10 --workdir=runs/mae_vit_cifar10
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import cifar10, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.vit import ViT, vit_variant
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

TINY = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32, "patch_size": 4}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "smoke")
  smoke = arg == "smoke"
  size = TINY if smoke else vit_variant("Ti/4")
  dtype = "float32" if smoke else "bfloat16"
  backbone = recipe(
    ViT,
    image_size=cifar10.SIZE,
    **size,
    pool="mean",
    image_mean=cifar10.MEAN,
    image_std=cifar10.STD,
    dtype=dtype,
  )
  decoder = recipe(
    MAEDecoder,
    grid=None,  # these follow from the backbone
    patch_dim=None,
    encoder_dim=None,
    num_prefix=None,
    embed_dim=16 if smoke else 192,
    num_layers=1 if smoke else 4,
    num_heads=2 if smoke else 3,
    dtype=dtype,
  )
  return training.run(
    objective=spec(MAE, backbone=backbone, decoder=decoder),
    data=cifar10.data(
      split=cifar10.train_split(smoke),
      batch_size=16 if smoke else 1024,
      transform=spec(RandomResizedCrop, size=None, scale=(0.2, 1.0)),
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=None,  # of the base rate and the batch
      base_learning_rate=1.5e-3,
      weight_decay=0.05,
      b2=0.95,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 20)),
    ),
    duration=training.steps(2) if smoke else training.epochs(400),
    log_every=1 if smoke else 50,
    evals=cifar10.evals(every=5000, smoke=smoke),
  )
