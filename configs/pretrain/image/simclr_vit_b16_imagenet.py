"""SimCLR (arXiv 2002.05709) with a ViT-B/16 on ImageNet-1k, several GPUs.

Views, projector and temperature are the paper's for ImageNet, as in simclr_resnet50_imagenet.py. A
ViT is trained as MoCo v3 does (arXiv 2104.02057, section 5, whose table 4 has SimCLR too): batch
4096, AdamW, 1.5e-4 x batch / 256, weight decay .1, 40 epochs of warmup, 300 epochs.
get_config("smoke"): two steps of a tiny model.

Command:  pretrainjax pretrain --config=simclr_vit_b16_imagenet \\
            --workdir=runs/simclr_vit_b16_imagenet
Minutes:  not run to its end here
Expected: not run to its end here; published: 73.9% by a linear probe (2104.02057)
"""

from ml_collections import ConfigDict

from configs.blocks import imagenet, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.models.heads import Projector
from pretrainjax.objectives.joint.simclr import SimCLR
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "smoke")
  smoke = arg == "smoke"
  backbone = imagenet.vit("B/16", smoke=smoke, pool="mean")
  return training.run(
    objective=spec(
      SimCLR,
      backbone=backbone,
      projector=recipe(
        Projector,
        in_dim=None,
        hidden_dim=64 if smoke else 2048,
        dtype=imagenet.dtype(smoke),
      ),
      augment=imagenet.simclr_colors(),
      temperature=0.1,
    ),
    data=imagenet.data(
      split=imagenet.train_split(smoke),
      batch_size=4 if smoke else 4096,
      transform=spec(RandomResizedCrop, size=imagenet.SIZE),
      views=2,
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=None,  # of the base rate and the batch
      base_learning_rate=1.5e-4,
      weight_decay=0.1,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 40)),
    ),
    duration=training.steps(2) if smoke else training.epochs(300),
    log_every=1 if smoke else 50,
    evals=imagenet.evals(every=25000, smoke=smoke),
  )
