"""kNN, linear probe and collapse of an encoder, on all of Fashion-MNIST.

get_config(arg): "short" takes 10,000 and 2,000 images, "smoke" some hundreds.
"""

from configs.blocks import fashion_mnist
from ml_collections import ConfigDict

from pretrainjax.config import spec
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.knn import KNN
from pretrainjax.evaluators.linear_probe import LinearProbe

SPLITS = {
  None: ("train", "test"),
  "short": ("train[:10000]", "test[:2000]"),
  "smoke": ("train[:256]", "test[:64]"),
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  train, test = (fashion_mnist.still(split=s, smoke=arg == "smoke") for s in SPLITS[arg])
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {
    "knn": spec(KNN, train=train, test=test),
    "linear_probe": spec(LinearProbe, train=train, test=test),
    "collapse": spec(Collapse, data=test),
  }
  return config
