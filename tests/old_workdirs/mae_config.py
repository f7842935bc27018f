"""The config that old_workdirs/mae was trained with, as its owner keeps it to this day."""

from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.data.image_data import ImageData
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.train.assemble import Train
from pretrainjax.train.duration import Duration
from pretrainjax.train.mesh import Axes
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.parallel import Parallel
from pretrainjax.train.schedule import WarmupCosine
from pretrainjax.train.spikes import Spikes
from pretrainjax.train.tracking import Tracking


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config: four steps, a checkpoint every two."""
  del arg
  sizes = {"image_size": 28, "patch_size": 4, "num_channels": 1, "embed_dim": 16}
  vit = recipe(ViT, **sizes, num_layers=2, num_heads=2, mlp_dim=32, pool="mean")
  decoder = recipe(
    MAEDecoder,
    grid=(7, 7),
    patch_dim=16,
    encoder_dim=16,
    embed_dim=8,
    num_layers=1,
    num_heads=2,
  )
  config = ConfigDict(sort_keys=False)
  config.seed = 3
  config.objective = spec(MAE, backbone=vit, decoder=decoder)
  config.data = spec(
    ImageData,
    datasets="fashion_mnist",
    split="train",
    batch_size=8,
    transform=spec(RandomResizedCrop, size=28, scale=(0.5, 1.0)),
  )
  schedule = spec(WarmupCosine, warmup=spec(Duration, steps=1))
  config.optimizer = spec(Optimizer, learning_rate=1e-3, weight_decay=0.05, schedule=schedule)
  config.train = spec(
    Train,
    duration=spec(Duration, steps=4),
    log_every=1,
    checkpoint_every=2,
    ema_decay=0.9,
    keep=spec(Keep),
    spikes=spec(Spikes),
    tracking=spec(Tracking, tensorboard=False),
  )
  config.parallel = spec(Parallel, mesh=spec(Axes))
  config.evals = ConfigDict()
  return config
