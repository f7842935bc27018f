"""SimCLR (arXiv 2002.05709) with a small ViT on Fashion-MNIST, sized for two CPU cores.

The paper's CIFAR settings where they apply: temperature .5, two-layer projector, crops, flips and
jitter of strength .5 without blur. Pictures are grey, so that of the colour operations brightness
and contrast remain. Ours departs in AdamW for LARS (the batch is small, the network a ViT).

get_config(arg): "long" is what docs/results.md shows; "short" takes a tenth of the
steps, "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=simclr_vit_fashion_mnist:long \\
            --workdir=runs/simclr_vit_fashion_mnist
Minutes:  9, on two busy cores of an AMD EPYC
Expected: test top-1 of kNN (k 20) 78.80 %, of a linear probe 82.18 %; random init 73.93 % and 78.98
          %
"""

from ml_collections import ConfigDict

from configs.blocks import fashion_mnist, training
from configs.blocks.forms import form
from pretrainjax.augment.color import ColorAugment
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.models.heads import Projector
from pretrainjax.objectives.joint.simclr import SimCLR
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

STEPS = {None: 500, "long": 1000, "short": 50, "smoke": 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  projector = recipe(Projector, in_dim=None, hidden_dim=32 if smoke else 512, out_dim=128)
  return training.run(
    objective=spec(
      SimCLR,
      backbone=fashion_mnist.vit(smoke),
      projector=projector,
      augment=spec(ColorAugment, brightness=0.4, contrast=0.4),
      temperature=0.5,
    ),
    data=fashion_mnist.data(
      split=fashion_mnist.train_split(smoke),
      batch_size=16 if smoke else 128,
      transform=spec(RandomResizedCrop, size=None, scale=(0.3, 1.0)),
      views=2,
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=1e-3,
      weight_decay=0.05,
      schedule=spec(WarmupCosine, warmup=training.steps(steps // 10)),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 50,
    checkpoint_every=500,
    evals=fashion_mnist.evals(every=500, smoke=smoke),
  )
