"""SimCLR (arXiv 2002.05709) with a ResNet-50 on ImageNet-1k, as in the paper.

Batch 4096, LARS at .3 x batch / 256 with weight decay 1e-6, 10 epochs of warmup, 100 epochs,
temperature .1, jitter of strength 1 with blur. get_config("smoke"): two steps of 8 images.

Command:  pretrainjax pretrain --config=simclr_resnet50_imagenet \\
            --workdir=runs/simclr_resnet50_imagenet
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import imagenet, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.models.heads import Projector
from pretrainjax.models.resnet import ResNet
from pretrainjax.objectives.joint.simclr import SimCLR
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "smoke")
  smoke = arg == "smoke"
  dtype = imagenet.dtype(smoke)
  # Depth 10 in the smoke form: 50 layers take long to compile and show nothing more.
  backbone = recipe(ResNet, depth=10 if smoke else 50, dtype=dtype)
  return training.run(
    objective=spec(
      SimCLR,
      backbone=backbone,
      projector=recipe(Projector, in_dim=None, hidden_dim=64 if smoke else 2048, dtype=dtype),
      augment=imagenet.simclr_colors(),
      temperature=0.1,
    ),
    data=imagenet.data(
      split=imagenet.train_split(smoke),
      batch_size=4 if smoke else 4096,
      transform=spec(RandomResizedCrop, size=64 if smoke else imagenet.SIZE),
      views=2,
    ),
    optimizer=spec(
      Optimizer,
      name="lars",
      learning_rate=None,  # of the base rate and the batch
      base_learning_rate=0.3,
      weight_decay=1e-6,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 10)),
    ),
    duration=training.steps(2) if smoke else training.epochs(100),
    log_every=1 if smoke else 50,
    evals=imagenet.evals(every=10000, smoke=smoke),
  )
