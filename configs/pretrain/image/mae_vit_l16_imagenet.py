"""MAE (arXiv 2111.06377, table 8) with a ViT-L/16 on ImageNet-1k, as in the paper.

Batch 4096, AdamW with b2 .95, 1.5e-4 x batch / 256, weight decay .05, 40 epochs of warmup, 800
epochs; decoder 512 wide, 8 deep. get_config("smoke"): two steps of a tiny model.
"""

from ml_collections import ConfigDict

from configs.blocks import imagenet, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.vit import ViT, vit_variant
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

TINY = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32, "patch_size": 16}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "smoke")
  smoke = arg == "smoke"
  size = TINY if smoke else vit_variant("L/16")
  dtype = "float32" if smoke else "bfloat16"
  backbone = recipe(
    ViT,
    image_size=imagenet.SIZE,
    **size,
    pool="mean",
    image_mean=imagenet.MEAN,
    image_std=imagenet.STD,
    dtype=dtype,
  )
  decoder = recipe(
    MAEDecoder,
    grid=(14, 14),
    patch_dim=16 * 16 * 3,
    encoder_dim=size["embed_dim"],
    embed_dim=16 if smoke else 512,
    num_layers=1 if smoke else 8,
    num_heads=2 if smoke else 16,
    dtype=dtype,
  )
  batch_size = 8 if smoke else 4096
  return training.run(
    objective=spec(MAE, backbone=backbone, decoder=decoder),
    data=imagenet.data(
      split=imagenet.train_split(smoke),
      batch_size=batch_size,
      transform=spec(RandomResizedCrop, size=imagenet.SIZE, scale=(0.2, 1.0)),
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=1.5e-4 * batch_size / 256,
      weight_decay=0.05,
      b2=0.95,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 40)),
    ),
    duration=training.steps(2) if smoke else training.epochs(800),
    log_every=1 if smoke else 50,
    evals=imagenet.evals(every=25000, smoke=smoke),
  )
