"""MAE (arXiv 2111.06377) on a folder of images of your own, labelled or not.

The set: `prepare image_folder --source=FOLDER --name=images`, or --datasets=NAME. Resolution,
channels, mean and deviation are those of the set; where its images are of several sizes, say
--config.data.transform.size=64. The recipe is that of mae_vit_fashion_mnist.py: small pictures on
two CPU cores. get_config(arg): "photos" is a ViT-S/16 on crops of 224 pixels for a GPU, by the
paper's recipe; "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=mae_vit_images --workdir=runs/mae_vit_images
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import images, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import RandomResizedCrop
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.evaluators.knn import KNN
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *images.FORMS)
  smoke, photos = arg == "smoke", arg == "photos"
  decoder = recipe(
    MAEDecoder,
    grid=None,
    patch_dim=None,
    encoder_dim=None,
    num_prefix=None,
    embed_dim=16 if smoke else 192 if photos else 48,
    num_layers=4 if photos else 1,
    num_heads=2 if smoke else 3,
    dtype="bfloat16" if photos else "float32",
  )
  return training.run(
    objective=spec(MAE, backbone=images.vit(arg), decoder=decoder),
    data=images.data(
      arg,
      batch_size=1024 if photos else 128,
      transform=spec(RandomResizedCrop, size=images.size(arg), scale=(0.2 if photos else 0.5, 1.0)),
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=None,  # of the base rate and the batch
      base_learning_rate=1.5e-4 if photos else 4e-3,
      weight_decay=0.05,
      b2=0.95,
      schedule=spec(WarmupCosine, warmup=training.epochs(40) if photos else _steps(arg, 150)),
    ),
    duration=training.epochs(400) if photos else _steps(arg, 1500),
    log_every=1 if smoke else 50,
    checkpoint_every=500,
    evals=_evals(arg),
  )


def _steps(arg: str | None, count: int) -> ConfigDict:
  """So many steps, or the two of the smoke form."""
  return training.steps(2 if arg == "smoke" else count)


def _evals(arg: str | None) -> ConfigDict:
  """While training: kNN where there are classes, and collapse, on training images only."""
  every = 0 if arg == "smoke" else 500
  bank, queries = images.still(arg, part="fit"), images.still(arg, part="held_out")
  return ConfigDict(
    {
      "knn": spec(KNN, train=bank, test=queries, max_train=10_000, every=every),
      "collapse": spec(Collapse, data=queries, every=every),
    }
  )
