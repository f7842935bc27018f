"""The classic Keras MNIST example itself: the MLP 784-512-10, batch 128, all labels, 20 epochs.

The checkpoint is chosen by "validation": 5% of the training images, which are not trained on. The
test images are measured once, at the end.

get_config("smoke"): two steps.

Command:  pretrainjax finetune --config=mlp_mnist --workdir=runs/mlp_mnist
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import training
from configs.blocks.forms import form
from configs.finetune.image import mlp_fashion_mnist

EVERY = 500


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "smoke")
  config = mlp_fashion_mnist.get_config(arg)
  for data in (config.data, config.evals.validation.data, config.evals.test.data):
    data.datasets = "mnist"
  config.data.label_fraction = 1.0
  if arg != "smoke":
    config.data.batch_size = 128
    config.train.duration = training.epochs(20)
    config.train.checkpoint_every = config.evals.validation.every = EVERY
  return config
