"""kNN, linear probe (L-BFGS) and collapse of an encoder on CIFAR-10; "smoke" takes some images.

Command:  pretrainjax evaluate --config=cifar10 --workdir=runs/mae_vit_cifar10
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import cifar10, evaluation
from configs.blocks.forms import form


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "smoke")
  splits = ("train[:64]", "test[:16]") if arg == "smoke" else ("train", "test")
  train, test = (cifar10.still(split=s, smoke=arg == "smoke") for s in splits)
  return evaluation.frozen_features(train=train, test=test)
