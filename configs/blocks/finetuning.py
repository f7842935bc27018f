"""The recipe of MAE's fine-tuning (arXiv 2111.06377, table 9) on top of any dataset's blocks."""

from ml_collections import ConfigDict

from configs.blocks import training
from pretrainjax.config import recipe, spec
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.models.heads import Head
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

# The fresh norm after mean pooling replaces the one before it.
CHANGES = {"pool": "mean", "final_norm": False, "pool_norm": True, "drop_path": 0.1}
# Steps between two checkpoints.
SAVED_EVERY = 1000


def mae_recipe(
  *,
  backbone: ConfigDict,
  data: ConfigDict,
  validation: ConfigDict,
  test: ConfigDict,
  every: int,
  learning_rate: float | None = None,
  base_learning_rate: float | None = None,
  layer_decay: float,
  smoke: bool,
) -> ConfigDict:
  """Layer decay, drop path, mixup .8, CutMix 1, smoothing .1, 100 epochs with 5 of warmup.

  Args:
    backbone: what is fine-tuned.
    data: what is trained on.
    validation: what the checkpoint is chosen by, not trained on.
    test: what is measured once, of the chosen checkpoint.
    every: the steps between two measurements of `validation`, a multiple of `SAVED_EVERY`.
    learning_rate: the rate; this or the next is given.
    base_learning_rate: the rate for 256 examples a step.
    layer_decay: the factor of the rate from a layer to the one below.
    smoke: whether it is two steps of a tiny model.
  """
  head = recipe(Head, in_dim=None, num_classes=None, init_std=0.0 if smoke else 2e-5)
  config = training.run(
    objective=spec(
      Classification,
      backbone=backbone,
      head=head,
      num_classes=None,
      label_smoothing=0.1,
      mixup_alpha=0.8,
      cutmix_alpha=1.0,
    ),
    data=data,
    optimizer=spec(
      Optimizer,
      learning_rate=learning_rate,
      base_learning_rate=base_learning_rate,
      weight_decay=0.05,
      layer_decay=layer_decay,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 5)),
    ),
    duration=training.steps(2) if smoke else training.epochs(100),
    log_every=1 if smoke else 50,
    evals=ConfigDict(
      {
        "validation": spec(ClassificationAccuracy, data=validation, every=0 if smoke else every),
        "test": spec(ClassificationAccuracy, data=test),
      }
    ),
    # Saved more often than measured: a measurement may be an hour away.
    **(training.chosen_by("validation/top1", every=every) | {"checkpoint_every": SAVED_EVERY}),
  )
  return training.from_checkpoint(
    config, changes=CHANGES, fresh=("pool_norm/*",), unused=("norm/*",)
  )
