"""A fine-tuned classifier on SpamAssassin's test e-mails: accuracy, F1, MCC, confusion matrix.

get_config(arg): "smoke" takes some.

Command:  pretrainjax evaluate --config=spam_assassin_classifier --workdir=runs/spam \\
            --no_random_init
Minutes:  less than 1 on two cores of an AMD EPYC
Expected: top-1 84.05 % after bert_spam_assassin:published from BERT, the mean of three seeds
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  test = text.data(
    datasets="spam_assassin",
    split="test[:64]" if smoke else "test",
    batch_size=16 if smoke else 100,
    length=None,
  )
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {"accuracy": spec(ClassificationAccuracy, data=test)}
  return config
