"""A causal language model on the held-out speeches, beside unigrams and 5-grams of the others.

Another text: --datasets=NAME. get_config(arg): "smoke" takes some rows.

Command:  pretrainjax evaluate --config=sotu --workdir=runs/gpt_sotu --no_random_init
Minutes:  less than 1 on two cores of an AMD EPYC
Expected: 1.360 bits per byte after gpt_sotu:long; unigrams 2.024, 5-grams 1.361
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.perplexity import Perplexity


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  part = "[:16]" if smoke else ""
  test, train = (
    text.data(datasets="sotu", split=split + part, batch_size=8 if smoke else 32, length=None)
    for split in ("test", "train")
  )
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {"held_out": spec(Perplexity, data=test, train=train, head="causal")}
  return config
