"""AudioMAE (arXiv 2207.06405) on sound of your own, or a packaged set; no labels are needed.

The set: `prepare audio_folder --source=FOLDER --name=sounds`, or --datasets=NAME (several, with
commas, are mixed). Four of five patches of a log-mel spectrogram are hidden, of at most ten
seconds. A ViT that two CPU cores train in minutes, on patches of 80 ms. get_config(arg): "base" is
the paper's ViT-B/16 with its decoder of shifted windows, for a GPU; "smoke" two steps of a tiny
model.

Command:  pretrainjax pretrain --config=mae_sounds --workdir=runs/mae_sounds
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import sounds, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

DECODERS = {
  None: {"embed_dim": 96, "num_layers": 2, "num_heads": 3},
  "base": {"embed_dim": 512, "num_layers": 16, "num_heads": 16, "window": (4, 4)},
  "smoke": {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "window": (4, 4)},
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *sounds.FORMS)
  smoke, base = arg == "smoke", arg == "base"
  decoder = recipe(
    MAEDecoder,
    grid=None,  # these follow from the backbone
    patch_dim=None,
    encoder_dim=None,
    num_prefix=None,
    dtype="bfloat16" if base else "float32",
    **DECODERS[arg],
  )
  rows = {} if smoke else {"max_seconds": 10.0, "buckets": 8}
  return training.run(
    objective=spec(MAE, backbone=sounds.spectrogram_vit(arg), decoder=decoder, mask_ratio=0.8),
    data=sounds.data(arg, batch_size=512 if base else 32, **rows),
    optimizer=spec(
      Optimizer,
      learning_rate=None,  # of the base rate and the batch
      base_learning_rate=2e-4 if base else 8e-3,
      weight_decay=1e-4 if base else 0.05,
      b2=0.95,
      schedule=spec(WarmupCosine, warmup=_duration(arg, epochs=3, steps=200)),
    ),
    duration=_duration(arg, epochs=33, steps=2000),
    log_every=1 if smoke else 50,
    checkpoint_every=500,
    evals=sounds.collapse(arg),
  )


def _duration(arg: str | None, *, epochs: int, steps: int) -> ConfigDict:
  """The paper's epochs, so many steps, or the two of the smoke form."""
  return training.epochs(epochs) if arg == "base" else training.steps(2 if arg else steps)
