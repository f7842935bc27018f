"""kNN, linear probe (L-BFGS) and collapse of an encoder, on labelled images of your own.

The set: `prepare image_folder --source=FOLDER --name=images`, or --datasets=NAME, with classes, a
train and a test split. Sizes are those of the run. get_config("smoke") takes some images.

Command:  pretrainjax evaluate --config=images --workdir=runs/mae_vit_images
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import evaluation, images
from configs.blocks.forms import form


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, None, "smoke")
  splits = ("train[:64]", "test[:16]") if arg == "smoke" else ("train", "test")
  train, test = (images.still(arg, split=split) for split in splits)
  return evaluation.frozen_features(train=train, test=test)
