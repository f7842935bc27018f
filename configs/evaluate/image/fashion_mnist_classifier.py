"""A fine-tuned classifier on Fashion-MNIST's test images: top-1/5, per class, confusion matrix.

get_config(arg): "short" takes 20% of the images, "smoke" 64.

Command:  pretrainjax evaluate --config=fashion_mnist_classifier --workdir=runs/vit_fashion_mnist \\
            --no_random_init
Minutes:  less than 5 on two cores of an AMD EPYC, where all of `make quickstart` took 5 min 7 s
Expected: top-1 80.34 % after vit_fashion_mnist:published from MAE, the mean of three seeds
"""

from ml_collections import ConfigDict

from configs.blocks import fashion_mnist
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy

SPLITS = {None: "test", "short": "test[:20%]", "smoke": "test[:64]"}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *SPLITS)
  data = fashion_mnist.still(split=SPLITS[arg], smoke=arg == "smoke")
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {"accuracy": spec(ClassificationAccuracy, data=data)}
  return config
