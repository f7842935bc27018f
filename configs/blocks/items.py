"""What the configs for interactions share: prepared by `prepare interactions`, or a packaged set.

What is None follows from the data: the items of the catalogue, its folder, features of both sides.
"""

from ml_collections import ConfigDict

from configs.blocks import training
from pretrainjax.config import recipe, spec
from pretrainjax.data.item_data import ItemData
from pretrainjax.evaluators.ranking import Ranking
from pretrainjax.models.item_towers import ItemTowers
from pretrainjax.models.item_transformer import ItemTransformer
from pretrainjax.train.optimizer import Optimizer

FORMS = (None, "smoke")
# The sizes of eSASRec on MovieLens-1M, arXiv 2508.06450, and of most that it is compared with.
SMALL = {"embed_dim": 64, "num_layers": 2, "num_heads": 1, "mlp_dim": 256}
TINY = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}
LENGTH = 200
# Steps between two looks at what the checkpoint is chosen by; of a training of so many.
EVERY, STEPS = 100, 1500
CHOSEN_BY = "validation/ndcg@10"


def transformer(form: str | None, **changes) -> ConfigDict:
  """The encoder of histories of a form: small, or "smoke"."""
  sizes = TINY if form == "smoke" else SMALL | changes
  options = {"num_items": None, "max_length": None, "unroll": sizes["num_layers"]}
  return recipe(ItemTransformer, **(options | changes | sizes))


def towers(form: str | None, **changes) -> ConfigDict:
  """The two towers of a form: small, or "smoke"."""
  sizes = TINY if form == "smoke" else SMALL
  counts = ("num_items", "num_users", "max_length", "num_item_features", "features_per_item")
  options = dict.fromkeys((*counts, "num_user_features", "features_per_user"))
  options |= {"embed_dim": sizes["embed_dim"], "mlp_dim": sizes["mlp_dim"]}
  return recipe(ItemTowers, **(options | changes))


def data(form: str | None, *, datasets: str = "interactions", batch_size: int = 128, **changes):
  """Histories to train on, kept in memory, in rows of a few lengths."""
  smoke = form == "smoke"
  return spec(
    ItemData,
    datasets=datasets,
    batch_size=8 if smoke else batch_size,
    length=8 if smoke else LENGTH,
    next_item=True,
    buckets=1 if smoke else 4,
    cache="memory",
    **changes,
  )


def asked(form: str | None, split: str, *, datasets: str = "interactions") -> ConfigDict:
  """Histories of which the next item is asked for."""
  size = 8 if form == "smoke" else 256
  return spec(
    ItemData, datasets=datasets, split=split, batch_size=size, length=None, cache="memory"
  )


def optimizer(**changes) -> ConfigDict:
  """Adam with the b2 of SASRec (arXiv 1808.09781, its code), at a constant rate."""
  return spec(Optimizer, **({"learning_rate": 1e-3, "b2": 0.98} | changes))


def evals(form: str | None) -> ConfigDict:
  """Ranking of all items: "validation" to choose by, while training, and "test" at the end."""
  smoke = form == "smoke"
  return ConfigDict(
    {
      "validation": spec(Ranking, data=asked(form, "validation"), every=0 if smoke else EVERY),
      "test": spec(Ranking, data=asked(form, "test"), every=0),
    }
  )


def run(form: str | None, *, objective: ConfigDict, steps: int = STEPS, **parts) -> ConfigDict:
  """A whole config of a form, whose checkpoint is chosen by validation."""
  smoke = form == "smoke"
  chosen = {} if smoke else training.chosen_by(CHOSEN_BY, every=EVERY)
  options = {"data": data(form), "optimizer": optimizer()} | parts
  return training.run(
    objective=objective,
    duration=training.steps(2 if smoke else steps),
    log_every=1 if smoke else 50,
    evals=evals(form),
    **options,
    **chosen,
  )
