"""Two towers for retrieval on interactions of your own, or a packaged set, for two CPU cores.

The set: `prepare interactions --source=FILE --name=interactions`, or --datasets=NAME, movielens
after `prepare movielens`. A user is the mean of what is known of the items before, an item its
number and features; in-batch softmax corrected for popularity (Yi et al. 2019,
10.1145/3298689.3346996). Features of items and users are those of the set's tables, if any.
get_config(arg): "smoke" is two steps of a tiny model.

Command:  pretrainjax pretrain --config=two_tower_interactions --workdir=runs/two_tower_interactions
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import items
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.objectives.joint.item_retrieval import ItemRetrieval


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *items.FORMS)
  network = items.towers(arg, temperature=0.1, dropout=0.1)
  return items.run(
    arg,
    objective=spec(ItemRetrieval, backbone=network, catalogue=None),
    data=items.data(arg, batch_size=512),
    steps=4000,
  )
