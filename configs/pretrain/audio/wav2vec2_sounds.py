"""wav2vec 2.0 (arXiv 2006.11477) on sound of your own, or a packaged set; no labels are needed.

The set: `prepare audio_folder --source=FOLDER --name=sounds`, or --datasets=NAME (several, with
commas, are mixed). Convolutions on the waveform and a small transformer, for two CPU cores; of
words and prompts of a second or two, spans of 160 ms are hidden. get_config(arg): "base" is the
paper's base model, for GPUs (1.6 hours of sound a step), "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=wav2vec2_sounds --workdir=runs/wav2vec2_sounds
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import sounds, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.product_quantizer import ProductQuantizer
from pretrainjax.objectives.masked.wav2vec2 import Wav2Vec2Pretraining
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

STEPS = {None: 2000, "base": 400_000, "smoke": 2}
QUANTIZERS = {
  None: {"num_codes": 64, "code_dim": 64, "out_dim": 64},
  "base": {"num_codes": 320, "code_dim": 256, "out_dim": 256, "dropout": 0.1},
  "smoke": {"num_codes": 8, "code_dim": 8, "out_dim": 8},
}
# The odds of a span at a frame of 20 ms, the frames of a span, and the codes not to choose. The
# temperature of the small form reaches its lowest in 1,400 steps.
HIDDEN = {"start_rate": 0.1, "span_length": 8, "num_distractors": 20, "gumbel_decay": 0.999}
PAPER = {"start_rate": 0.065, "span_length": 10, "num_distractors": 100, "gumbel_decay": 0.999995}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *sounds.FORMS)
  smoke, base = arg == "smoke", arg == "base"
  rows = {"max_seconds": 15.6, "buckets": 8} if base else {}
  return training.run(
    objective=spec(
      Wav2Vec2Pretraining,
      backbone=sounds.wav2vec2(arg),
      quantizer=recipe(ProductQuantizer, in_dim=None, embed_dim=None, **QUANTIZERS[arg]),
      **(PAPER if base else HIDDEN),
    ),
    data=sounds.data(arg, batch_size=384 if base else 16, **rows),
    optimizer=spec(
      Optimizer,
      learning_rate=5e-4,
      weight_decay=0.01,
      b2=0.98,
      eps=1e-6,
      clip_norm=None if base else 1.0,
      schedule=spec(WarmupLinear, warmup=training.steps(STEPS[arg] * 8 // 100)),
    ),
    duration=training.steps(STEPS[arg]),
    log_every=1 if smoke else 50,
    checkpoint_every=500,
    evals=sounds.collapse(arg),
  )
