"""HuBERT (arXiv 2106.07447) on sound of your own, or a packaged set; no labels are needed.

The set: `prepare audio_folder --source=FOLDER --name=sounds`, or --datasets=NAME. Units are found
by k-means before step 1: of MFCC, or with --config.objective.units=features of stacked log-mel
frames (MelHuBERT, 2211.09944). The Conformer is that of best_rq_sounds.py, a token for 40 ms.
get_config(arg): "base" is a Conformer of 576 x 12 for a GPU, "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=hubert_sounds --workdir=runs/hubert_sounds
Minutes:  about 26, on one of two busy cores of an AMD EPYC, of 4.6 hours of packaged sound
Expected: loss 3.02 and 3.06 of 4.61 (seeds 0, 1), 2.29 after 5,000 steps; docs/results.md has what
          features are worth
"""

from ml_collections import ConfigDict

from configs.blocks import sounds, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.unit_head import UnitHead
from pretrainjax.objectives.masked.masked_units import HuBERT
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

STEPS = {None: 1000, "base": 250_000, "smoke": 2}
NUM_CODES = {None: 100, "base": 500, "smoke": 8}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *sounds.FORMS)
  smoke, base = arg == "smoke", arg == "base"
  return training.run(
    objective=spec(
      HuBERT,
      backbone=sounds.conformer(arg),
      head=recipe(UnitHead, in_dim=None, num_codes=None, code_dim=16 if smoke else 256),
      num_codes=NUM_CODES[arg],
      stack=4,
      start_rate=0.08 if base else 0.15,
      span_length=5 if base else 4,
      fit_batches=2 if smoke else 100,
    ),
    data=sounds.data(arg, batch_size=256 if base else 32, **sounds.CROPS[arg]),
    optimizer=spec(
      Optimizer,
      learning_rate=5e-4 if base else 1e-3,
      weight_decay=0.01,
      b2=0.98,
      clip_norm=10.0 if base else 1.0,
      schedule=spec(WarmupLinear, warmup=training.steps(STEPS[arg] * 8 // 100)),
    ),
    duration=training.steps(STEPS[arg]),
    log_every=1 if smoke else 50,
    checkpoint_every=500,
    evals=sounds.collapse(arg),
  )
