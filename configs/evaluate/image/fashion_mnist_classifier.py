"""A fine-tuned classifier on Fashion-MNIST's test images: top-1/5, per class, confusion matrix.

get_config(arg): "short" takes 20% of the images, "smoke" 64.
"""

from ml_collections import ConfigDict

from configs.blocks import fashion_mnist
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.classification import ClassificationAccuracy

SPLITS = {None: "test", "short": "test[:20%]", "smoke": "test[:64]"}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *SPLITS)
  data = fashion_mnist.still(split=SPLITS[arg], smoke=arg == "smoke")
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {"accuracy": spec(ClassificationAccuracy, data=data)}
  return config
