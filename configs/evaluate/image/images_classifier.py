"""A fine-tuned classifier on test images of your own: top-1/5, per class, confusion matrix.

The set: as of images.py. get_config("smoke") takes some images.

Command:  pretrainjax evaluate --config=images_classifier --workdir=runs/vit_images \\
            --no_random_init
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import images
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, None, "smoke")
  data = images.still(arg, split="test[:16]" if arg == "smoke" else "test")
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {"accuracy": spec(ClassificationAccuracy, data=data)}
  return config
