"""Distils a trained encoder of Fashion-MNIST into a ViT of half its width, by features.

The teacher is any run on these images, --config.init.teacher=RUN[@STEP][:PART], and is held fixed;
a projector takes the student's pooled feature to the teacher's width, and the loss is 1 - cosine.
Crops and flips only, the same picture for both. To learn a classifier's logits too, see
docs/finetuning.md.

get_config(arg): "long" four times the steps; "short" takes a tenth of the steps, "smoke" two steps
of a tiny model.

Command:  pretrainjax pretrain --config=distill_vit_fashion_mnist --workdir=runs/distilled \\
            --config.init.teacher=runs/mae_vit_fashion_mnist
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import fashion_mnist, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.models.heads import Projector
from pretrainjax.objectives.supervised.distillation import Distillation
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

STEPS = {None: 1500, "long": 6000, "short": 150, "smoke": 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  width = fashion_mnist.embed_dim(smoke) // 2
  student = fashion_mnist.vit(smoke)
  student.update({"embed_dim": width, "num_heads": 2, "mlp_dim": 4 * width})
  projector = recipe(Projector, in_dim=None, out_dim=None, num_layers=1, batch_norm=False)
  config = training.run(
    objective=spec(
      Distillation,
      backbone=student,
      teacher=fashion_mnist.vit(smoke),
      projector=projector,
    ),
    data=fashion_mnist.data(
      split=fashion_mnist.train_split(smoke),
      batch_size=16 if smoke else 128,
      transform=spec(RandomResizedCrop, size=None, scale=(0.5, 1.0)),
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=2e-3,
      weight_decay=0.05,
      schedule=spec(WarmupCosine, warmup=training.steps(steps // 10)),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 50,
    checkpoint_every=500,
    evals=fashion_mnist.evals(every=1500, smoke=smoke),
  )
  return training.from_teacher(config)
