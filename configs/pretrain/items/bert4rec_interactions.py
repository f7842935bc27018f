"""BERT4Rec (arXiv 1904.06690) on interactions of your own, or a packaged set, for two CPU cores.

The set: `prepare interactions --source=FILE --name=interactions`, or --datasets=NAME, movielens
after `prepare movielens`. The paper's network, d 64, two blocks, two heads, its head and biases,
and its 20 % of items hidden; it learns from a fifth of a row at a time and wants far more steps
than others (arXiv 2207.02061). Ours has a higher rate and the norms in the branches, for the few
steps. get_config(arg): "smoke" is two steps of a tiny model.

Command:  pretrainjax pretrain --config=bert4rec_interactions --workdir=runs/bert4rec_interactions
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import items
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.objectives.masked.masked_items import MaskedItems


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *items.FORMS)
  network = items.transformer(
    arg, num_heads=2, causal=False, use_head=True, use_bias=True, dropout=0.1
  )
  return items.run(arg, objective=spec(MaskedItems, backbone=network, mask_rate=0.2), steps=3000)
