"""MAE's recipe for ImageNet-1k (arXiv 2111.06377, table 8), for any ViT of patches of 16."""

from ml_collections import ConfigDict

from configs.blocks import imagenet, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine


def run(variant: str, arg: str | None) -> ConfigDict:
  """Returns the config.

  Args:
    variant: of `imagenet.vit`.
    arg: of the config file: None, or "smoke" for two steps of a tiny model.
  """
  smoke = form(arg, "smoke") == "smoke"
  backbone = imagenet.vit(variant, smoke=smoke, pool="mean")
  decoder = recipe(
    MAEDecoder,
    grid=None,  # these follow from the backbone
    patch_dim=None,
    encoder_dim=None,
    num_prefix=None,
    embed_dim=16 if smoke else 512,
    num_layers=1 if smoke else 8,
    num_heads=2 if smoke else 16,
    dtype=imagenet.dtype(smoke),
  )
  return training.run(
    objective=spec(MAE, backbone=backbone, decoder=decoder),
    data=imagenet.data(
      split=imagenet.train_split(smoke),
      batch_size=8 if smoke else 4096,
      transform=spec(RandomResizedCrop, size=imagenet.SIZE, scale=(0.2, 1.0)),
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=None,  # of the base rate and the batch
      base_learning_rate=1.5e-4,
      weight_decay=0.05,
      b2=0.95,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 40)),
    ),
    duration=training.steps(2) if smoke else training.epochs(800),
    log_every=1 if smoke else 50,
    evals=imagenet.evals(every=25000, smoke=smoke),
  )
