"""A fine-tuned classifier of texts on test texts of your own: accuracy, F1, confusion matrix.

The set: as of bert_classes.py, or --datasets=NAME. Lengths are those of the run.
get_config("smoke") takes some.

Command:  pretrainjax evaluate --config=classes --workdir=runs/bert_classes --no_random_init
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = ConfigDict({"seed": 0}, sort_keys=False)
  test = text.still("labelled", split="test", smoke=smoke)
  config.evals = {"accuracy": spec(ClassificationAccuracy, data=test)}
  return config
