"""gSASRec (arXiv 2308.07192) on interactions of your own, or a packaged set, for two CPU cores.

The set: `prepare interactions --source=FILE --name=interactions`, or --datasets=NAME, movielens
after `prepare movielens`. The paper's calibrated binary cross-entropy, 256 negatives and t .75,
on SASRec's network; d 64 in place of 128 and dropout .2 in place of .5, for the few steps.
get_config(arg): "smoke" is two steps of a tiny model.

Command:  pretrainjax pretrain --config=gsasrec_interactions --workdir=runs/gsasrec_interactions
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
  network = items.transformer(arg, mlp_dim=64, activation="relu", dropout=0.2)
  options = {"criterion": "calibrated", "calibration": 0.75, "catalogue": None}
  return items.run(arg, objective=spec(NextItem, backbone=network, **options))
