"""eSASRec (arXiv 2508.06450) on interactions of your own, or a packaged set, for two CPU cores.

The set: `prepare interactions --source=FILE --name=interactions`, or --datasets=NAME, movielens
after `prepare movielens`. The paper's recipe for MovieLens-1M: LiGR layers, sampled softmax with
256 uniform negatives, d 64, two blocks, one head, dropout .1. get_config(arg): "smoke" is two steps
of a tiny model.

Command:  pretrainjax pretrain --config=esasrec_interactions --workdir=runs/esasrec_interactions
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import items
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.objectives.autoregressive.next_item import NextItem


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *items.FORMS)
  network = items.transformer(arg, layers="ligr", activation="silu", dropout=0.1)
  return items.run(arg, objective=spec(NextItem, backbone=network, catalogue=None))
