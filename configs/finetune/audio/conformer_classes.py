"""Fine-tunes a Conformer on labelled sounds of your own: words, languages, speakers, noises.

The set: `prepare audio_folder --source=FOLDER --name=sounds` with a folder a class or a column of
labels, or --datasets=NAME. Classes follow from the set.

The checkpoint is chosen by "validation": the set's validation split, or 5% of each class that is
then not trained on. The test sounds are measured once, at the end, by that checkpoint.

Give --config.init=WORKDIR[@STEP], of best_rq_sounds for example. get_config(arg): "scratch" is the
same network without a checkpoint, "base" the Conformer of 576 x 12, "smoke" two steps of a tiny
model. --config.data.label_fraction=0.1 trains on a part of the labels.

Command:  pretrainjax finetune --config=conformer_classes --workdir=runs/conformer_classes \\
            --config.init=runs/best_rq_sounds
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import sounds, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.models.heads import Head
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

EVERY = 50
CHANGES = {"dropout": 0.1}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "scratch", *sounds.FORMS)
  smoke, scratch = arg == "smoke", arg == "scratch"
  size = None if scratch else arg
  held, test = sounds.still(size, part="held_out"), sounds.still(size, split="test")
  config = training.run(
    objective=spec(
      Classification,
      backbone=sounds.conformer(size, **CHANGES),
      head=recipe(Head, in_dim=None, num_classes=None, init_std=0.02),
      num_classes=None,
      label_smoothing=0.1,
    ),
    data=sounds.data(size, batch_size=32, part="fit", max_seconds=None),
    optimizer=spec(
      Optimizer,
      learning_rate=1e-3,
      weight_decay=0.01,
      layer_decay=None if scratch else 0.75,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 2)),
    ),
    duration=training.steps(2) if smoke else training.epochs(40),
    log_every=1 if smoke else 20,
    evals=ConfigDict(
      {
        "validation": spec(ClassificationAccuracy, data=held, every=0 if smoke else EVERY),
        "test": spec(ClassificationAccuracy, data=test),
      }
    ),
    **training.chosen_by("validation/top1", every=EVERY),
  )
  return training.from_checkpoint(config, changes=CHANGES, unused=("mask_vector",))
