"""MAE (arXiv 2111.06377) with a small ViT on Fashion-MNIST, sized for two CPU cores.

The paper's recipe: 75% of patches hidden, normalised pixels, AdamW with b2 .95 and weight decay
.05, crops and flips only. Ours departs in size, in a higher learning rate for the few steps, and
in milder crops of these small centred pictures.

get_config(arg): "smoke" takes two steps of a tiny model; "short" a tenth of the steps.
"""

from ml_collections import ConfigDict
from pretrainjax.data.image import RandomResizedCrop

from configs.blocks import fashion_mnist
from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import recipe, spec
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.train.assemble import Train
from pretrainjax.train.duration import Duration
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.parallel import Parallel
from pretrainjax.train.schedule import WarmupCosine
from pretrainjax.train.tracking import Tracking


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke, short = arg == "smoke", arg == "short"
  steps = 2 if smoke else 400 if short else 4000
  config = ConfigDict(sort_keys=False)
  config.seed = 0
  width = 16 if smoke else 64
  decoder = recipe(
    MAEDecoder,
    encoder_dim=16 if smoke else 128,
    grid=(7, 7),
    patch_dim=16,
    embed_dim=width,
    num_layers=1 if smoke else 2,
    num_heads=2 if smoke else 4,
    mlp_dim=4 * width,
  )
  config.objective = spec(MAE, backbone=fashion_mnist.vit(smoke), decoder=decoder)
  config.data = fashion_mnist.data(
    split="train[:512]" if smoke else "train",
    batch_size=16 if smoke else 256,
    transform=spec(RandomResizedCrop, size=fashion_mnist.SIZE, scale=(0.5, 1.0), flip=0.5),
  )
  config.optimizer = spec(
    Optimizer,
    learning_rate=1e-3,
    weight_decay=0.05,
    b2=0.95,
    schedule=spec(WarmupCosine, warmup=spec(Duration, steps=steps // 10)),
  )
  config.train = spec(
    Train,
    duration=spec(Duration, steps=steps),
    log_every=1 if smoke else 50,
    checkpoint_every=1000,
    keep=spec(Keep),
    tracking=spec(Tracking),
  )
  config.parallel = spec(Parallel)
  config.evals = fashion_mnist.evals(every=1000, smoke=smoke)
  return config
