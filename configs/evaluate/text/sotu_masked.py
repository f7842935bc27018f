"""A masked language model on the held-out speeches: loss and accuracy of hidden tokens.

get_config(arg): "smoke" takes some rows.

Command:  pretrainjax evaluate --config=sotu_masked --workdir=runs/bert_sotu
Minutes:  less than 1 on two cores of an AMD EPYC
Expected: test loss 6.385 after bert_sotu:long
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.perplexity import Perplexity


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  test = text.data(
    datasets="sotu",
    split="test[:16]" if smoke else "test",
    batch_size=8 if smoke else 32,
    length=None,
  )
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {"held_out": spec(Perplexity, data=test, head="masked")}
  return config
