"""Entities that a fine-tuned encoder finds in test texts of your own: precision, recall, F1.

The set: as of bert_tokens.py, or --datasets=NAME. Lengths are those of the run.
get_config("smoke") takes some.

Command:  pretrainjax evaluate --config=tokens --workdir=runs/bert_tokens --no_random_init
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.token_f1 import TokenF1


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = ConfigDict({"seed": 0}, sort_keys=False)
  test = text.still("tagged", split="test", smoke=smoke)
  config.evals = {"entities": spec(TokenF1, data=test)}
  return config
