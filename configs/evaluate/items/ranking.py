"""Full ranking of a recommender beside popularity, recent popularity, item-kNN and EASE: one table.

Baselines count in the training split; what they choose (the window, neighbours and shrinkage, l2)
they choose on the validation split. Seen items are filtered; --config.evals.ranking.seen="shown",
and so of the others, leaves them in, for logs in which users take the same again. EASE is left out
of a catalogue of more than 20,000 items.

The set: "interactions", or --datasets=NAME, the one that the run was given. get_config("smoke")
takes fewer choices.

Command:  pretrainjax evaluate --config=ranking --workdir=runs/esasrec_interactions
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import items
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.ease import EASE
from pretrainjax.evaluators.item_knn import ItemKNN
from pretrainjax.evaluators.item_popularity import Popularity, WindowedPopularity
from pretrainjax.evaluators.ranking import Ranking


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, None, "smoke")
  train, validation, test = (items.asked(arg, s) for s in ("train", "validation", "test"))
  counted = {"data": test, "train": train}
  chosen = counted | {"validation": validation}
  some = slice(1 if arg == "smoke" else None)  # the first, or all
  knn = {"neighbours": (100, 20, 500)[some], "shrinkage": (10, 0, 100)[some]}
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = {
    "ranking": spec(Ranking, data=test),
    "popularity": spec(Popularity, **counted),
    "windowed_popularity": spec(WindowedPopularity, **chosen, days=(7, 1, 3, 14, 30, 90)[some]),
    "item_knn": spec(ItemKNN, **chosen, **knn),
    "ease": spec(EASE, **chosen, l2=(500, 20, 50, 100, 200, 1000)[some]),
  }
  return config
