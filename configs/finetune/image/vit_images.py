"""Fine-tunes a ViT on a folder of labelled images of your own: FOLDER/class/*.jpg.

The set: `prepare image_folder --source=FOLDER --name=images`, or --datasets=NAME. Classes,
channels and sizes follow from the set and the checkpoint. MAE's recipe (arXiv 2111.06377, table 9)
where a short run profits from it: layer decay, drop path, label smoothing, a fresh norm.

The checkpoint is chosen by "validation": the set's validation split, or 5% of each class that is
then not trained on. The test images are measured once, at the end, by that checkpoint.

Give --config.init=WORKDIR[@STEP], of mae_vit_images for example. get_config(arg): "scratch" is the
same network without a checkpoint, "photos" a ViT-S/16 on 224 pixels, "smoke" two steps of a tiny
model.

Command:  pretrainjax finetune --config=vit_images --workdir=runs/vit_images \\
            --config.init=runs/mae_vit_images
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import finetuning, images, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.models.heads import Head
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

EVERY = 100


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "scratch", *images.FORMS)
  smoke, scratch = arg == "smoke", arg == "scratch"
  size = None if scratch else arg
  held, test = images.still(size, part="held_out"), images.still(size, split="test")
  config = training.run(
    objective=spec(
      Classification,
      backbone=images.vit(size, **finetuning.CHANGES),
      head=recipe(Head, in_dim=None, num_classes=None, init_std=2e-5),
      num_classes=None,
      label_smoothing=0.1,
    ),
    data=images.data(
      size,
      batch_size=256 if arg == "photos" else 64,
      part="fit",
      transform=spec(RandomResizedCrop, size=None, scale=(0.5, 1.0)),
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=None,  # of the base rate and the batch
      # Layer decay slows the pretrained layers down; without it the same rate is too high.
      base_learning_rate=4e-3 if scratch else 1e-3 if arg == "photos" else 16e-3,
      weight_decay=0.05,
      layer_decay=None if scratch else 0.75,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 1)),
    ),
    duration=training.steps(2) if smoke else training.epochs(20),
    log_every=1 if smoke else 20,
    evals=ConfigDict(
      {
        "validation": spec(ClassificationAccuracy, data=held, every=0 if smoke else EVERY),
        "test": spec(ClassificationAccuracy, data=test),
      }
    ),
    **training.chosen_by("validation/top1", every=EVERY),
  )
  return training.from_checkpoint(
    config, changes=finetuning.CHANGES, fresh=("pool_norm/*",), unused=("norm/*",)
  )
