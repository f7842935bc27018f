"""SimCLR (arXiv 2002.05709, appendix B.9) with a ResNet-18 on CIFAR-10, sized for one GPU.

3x3 stem, temperature .5, jitter of strength .5 without blur, batch 512, LARS at 1.0 with weight
decay 1e-6, as the paper's code; 200 epochs. get_config("smoke"): two steps with small batches.

Command:  pretrainjax pretrain --config=simclr_resnet18_cifar10 \\
            --workdir=runs/simclr_resnet18_cifar10
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import cifar10, training
from configs.blocks.forms import form
from pretrainjax.augment.color import ColorAugment
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
  dtype = "float32" if smoke else "bfloat16"
  backbone = recipe(
    ResNet,
    depth=10 if smoke else 18,
    stem="cifar",
    image_mean=cifar10.MEAN,
    image_std=cifar10.STD,
    dtype=dtype,
  )
  return training.run(
    objective=spec(
      SimCLR,
      backbone=backbone,
      projector=recipe(Projector, in_dim=None, hidden_dim=64 if smoke else 512, dtype=dtype),
      augment=spec(
        ColorAugment, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, gray_probability=0.2
      ),
      temperature=0.5,
    ),
    data=cifar10.data(
      split=cifar10.train_split(smoke),
      batch_size=8 if smoke else 512,
      transform=spec(RandomResizedCrop, size=cifar10.SIZE),
      views=2,
    ),
    optimizer=spec(
      Optimizer,
      name="lars",
      learning_rate=1.0,
      weight_decay=1e-6,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 10)),
    ),
    duration=training.steps(2) if smoke else training.epochs(200),
    log_every=1 if smoke else 50,
    evals=cifar10.evals(every=5000, smoke=smoke),
  )
