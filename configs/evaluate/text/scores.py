"""Scores of a fine-tuned encoder for test pairs of your own, as in STS: correlations, error.

The set: as of bert_score.py, or --datasets=NAME. Lengths are those of the run.
get_config("smoke") takes some.

Command:  pretrainjax evaluate --config=scores --workdir=runs/bert_score --no_random_init
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.regression_score import RegressionScore


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = ConfigDict({"seed": 0}, sort_keys=False)
  test = text.still("scored", split="test", smoke=smoke)
  config.evals = {"scores": spec(RegressionScore, data=test)}
  return config
