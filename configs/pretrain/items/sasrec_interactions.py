"""SASRec (arXiv 1808.09781) on interactions of your own, or a packaged set, for two CPU cores.

The set: `prepare interactions --source=FILE --name=interactions`, or --datasets=NAME, movielens
after `prepare movielens`. The paper's network of two blocks, one head and perceptrons as wide as
the vectors, its dropout for dense logs, and its Adam. get_config(arg): without one, binary
cross-entropy with one negative an event as in the paper; "softmax" is the full softmax, which ranks
far better (arXiv 2309.07602); "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=sasrec_interactions --workdir=runs/sasrec_interactions
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
  arg = form(arg, None, "softmax", "smoke")
  network = items.transformer(arg, mlp_dim=64, activation="relu", dropout=0.2)
  criterion = "softmax" if arg == "softmax" else "binary"
  negatives = {"num_negatives": 1, "shared": False, "catalogue": None}
  objective = spec(NextItem, backbone=network, criterion=criterion, **negatives)
  return items.run(arg, objective=objective)
