"""A fine-tuned causal model on test responses of your own: loss of their tokens.

The set: as of gpt_responses.py, or --datasets=NAME. Lengths are those of the run.
get_config("smoke") takes some.

Command:  pretrainjax evaluate --config=responses --workdir=runs/gpt_responses --no_random_init
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.perplexity import Perplexity


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = ConfigDict({"seed": 0}, sort_keys=False)
  test = text.still("prompts", split="test", smoke=smoke, pair="prompt")
  config.evals = {"responses": spec(Perplexity, data=test, head="causal")}
  return config
