"""BEST-RQ (arXiv 2202.01855) on sound of your own, or a packaged set; no labels are needed.

The set: `prepare audio_folder --source=FOLDER --name=sounds`, or --datasets=NAME (several, with
commas, are mixed). A Conformer on log-mel spectrograms that two CPU cores train in minutes; of
words and prompts of a second or two, spans of 160 ms are hidden. get_config(arg): "base" is the
paper's objective, with its spans of 400 ms, on a Conformer of 576 x 12 for a GPU (rates and warmup
of SpeechBrain's recipe); "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=best_rq_sounds --workdir=runs/best_rq_sounds
Minutes:  about 26, on one of two busy cores of an AMD EPYC, of 4.6 hours of packaged sound
Expected: loss 5.13 and 4.83 of 6.93 (seeds 0, 1); docs/results.md has what features are worth
"""

from ml_collections import ConfigDict

from configs.blocks import sounds, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.unit_head import UnitHead
from pretrainjax.objectives.masked.masked_units import BestRQ
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

STEPS = {None: 1000, "base": 300_000, "smoke": 2}
WARMUP = {None: 100, "base": 25_000, "smoke": 0}
NUM_CODES = {None: 1024, "base": 8192, "smoke": 16}
# The odds of a span at a token of 40 ms, and the tokens of a span.
SPANS = {None: (0.15, 4), "base": (0.04, 10), "smoke": (0.15, 4)}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *sounds.FORMS)
  smoke, base = arg == "smoke", arg == "base"
  start_rate, span_length = SPANS[arg]
  return training.run(
    objective=spec(
      BestRQ,
      backbone=sounds.conformer(arg),
      head=recipe(UnitHead, in_dim=None, num_codes=None, num_codebooks=None),
      num_codes=NUM_CODES[arg],
      num_codebooks=1 if base else 4,
      start_rate=start_rate,
      span_length=span_length,
    ),
    data=sounds.data(arg, batch_size=256 if base else 32, **sounds.CROPS[arg]),
    optimizer=spec(
      Optimizer,
      learning_rate=8e-4 if base else 1e-3,
      weight_decay=0.01,
      b2=0.98,
      eps=1e-9 if base else 1e-8,
      clip_norm=10.0 if base else 1.0,
      schedule=spec(WarmupCosine, warmup=training.steps(WARMUP[arg])),
    ),
    duration=training.steps(STEPS[arg]),
    log_every=1 if smoke else 50,
    checkpoint_every=500,
    evals=sounds.collapse(arg),
  )
