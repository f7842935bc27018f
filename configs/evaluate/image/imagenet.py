"""kNN, linear probe (LARS, as in MAE) and collapse of an encoder on ImageNet-1k.

get_config("smoke") takes some images and L-BFGS.

Command:  pretrainjax evaluate --config=imagenet --workdir=runs/mae_vit_b16_imagenet
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import evaluation, imagenet
from configs.blocks.forms import form


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "smoke")
  smoke = arg == "smoke"
  splits = ("train[:64]", "validation[:16]") if smoke else ("train", "validation")
  train, test = (imagenet.still(split=s, smoke=smoke) for s in splits)
  solver = "lbfgs" if smoke else "lars"
  return evaluation.frozen_features(train=train, test=test, solver=solver)
