"""CL4SRec (arXiv 2010.14395) on interactions of your own, or a packaged set, for two CPU cores.

The set: `prepare interactions --source=FILE --name=interactions`, or --datasets=NAME, movielens
after `prepare movielens`. SASRec's network with the full softmax, and a tenth of a contrastive loss
of two views, by two of: a crop of 60 %, 30 % hidden, 60 % in another order. get_config(arg):
"smoke" is two steps of a tiny model.

Command:  pretrainjax pretrain --config=cl4srec_interactions --workdir=runs/cl4srec_interactions
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import items
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.objectives.joint.cl4srec import CL4SRec


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *items.FORMS)
  network = items.transformer(arg, mlp_dim=64, activation="relu", dropout=0.2)
  return items.run(arg, objective=spec(CL4SRec, backbone=network, catalogue=None), steps=700)
