"""kNN, linear probe (L-BFGS) and collapse of an encoder, on labelled sounds of your own.

The set: `prepare audio_folder --source=FOLDER --name=sounds`, or --datasets=NAME, with classes, a
train and a test split. get_config("smoke") takes some sounds.

Command:  pretrainjax evaluate --config=sounds --workdir=runs/best_rq_sounds
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import evaluation, sounds
from configs.blocks.forms import form


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, None, "smoke")
  splits = ("train[:64]", "test[:16]") if arg == "smoke" else ("train", "test")
  train, test = (sounds.still(arg, split=split) for split in splits)
  return evaluation.frozen_features(train=train, test=test)
