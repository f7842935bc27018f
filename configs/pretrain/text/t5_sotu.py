"""T5's span corruption (arXiv 1910.10683) on the State of the Union, for two CPU cores.

The paper's objective: 15% of the tokens in spans of 3 are cut out and told. Version 1.1's network,
nanoT5's AdamW in place of Adafactor. Ours departs in size, and in rows that hold stretches of one
or several speeches.

get_config(arg): "short" takes a tenth of the steps, "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=t5_sotu --workdir=runs/t5_sotu
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.t5 import T5Decoder, T5Encoder
from pretrainjax.objectives.masked.span_corruption import SpanCorruption
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

STEPS = {None: 1000, "short": 100, "smoke": 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  width = text.embed_dim(smoke)
  sizes = {"vocab_size": None, "embed_dim": width, "num_layers": 2, "num_heads": 2}
  sizes |= {"head_dim": width // 2, "mlp_dim": 2 * width, "unroll": 2}
  return training.run(
    objective=spec(
      SpanCorruption,
      backbone=recipe(T5Encoder, max_length=None, **sizes),
      decoder=recipe(T5Decoder, **sizes),
    ),
    data=text.data(datasets="sotu", batch_size=8 if smoke else 32),
    optimizer=spec(
      Optimizer,
      learning_rate=2e-3,
      weight_decay=0.01,
      clip_norm=1.0,
      schedule=spec(WarmupCosine, warmup=training.steps(steps // 10)),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 50,
    checkpoint_every=1000,
  )
