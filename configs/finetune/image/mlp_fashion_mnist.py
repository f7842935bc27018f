"""The supervised baseline: the MLP 784-512-10 of the classic Keras MNIST example, from scratch.

Pixels in [0, 1], dropout .2, Adam at 1e-3, no augmentation. get_config(arg): "short" takes a tenth
of the steps, "smoke" two.

Command:  pretrainjax finetune --config=mlp_fashion_mnist --workdir=runs/mlp_fashion_mnist
Minutes:  not noted
Expected: test top-1 78.57 %, with 10 % of the labels and twice the steps 82.83 %; means of three
          seeds
"""

from ml_collections import ConfigDict

from configs.blocks import fashion_mnist, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import Resize
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.models.heads import Head
from pretrainjax.models.mlp import MLP
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.train.optimizer import Optimizer

STEPS = {None: 300, "short": 30, "smoke": 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  config = training.run(
    objective=spec(
      Classification,
      backbone=recipe(MLP, image_size=fashion_mnist.SIZE),
      head=recipe(Head, in_dim=None, num_classes=None, dropout=0.2),
      num_classes=None,
    ),
    data=fashion_mnist.data(
      split=fashion_mnist.train_split(smoke),
      batch_size=16 if smoke else 64,
      transform=spec(Resize, size=None),
      label_fraction=0.1 if smoke else 0.01,
    ),
    optimizer=spec(Optimizer, learning_rate=1e-3),
    duration=training.steps(steps),
    log_every=1 if smoke else 20,
    evals=ConfigDict(
      {
        "accuracy": spec(
          ClassificationAccuracy,
          data=fashion_mnist.still(split="test[:64]" if smoke else "test", smoke=smoke),
        )
      }
    ),
  )
  return training.from_checkpoint(config)
