"""T5 1.1 base (arXiv 1910.10683) on a corpus of your own, one GPU; the recipe of nanoT5.

128 rows of 512 a step, 65,536 steps, cosine, 10,000 steps of warmup, no dropout. Ours departs in
plain AdamW at 2e-3 for one that scales by the weights' size.

The corpus: `prepare text --source=FOLDER --name=corpus --config.tokenizer.kind=unigram
--config.tokenizer.vocab_size=32128 --config.form.length=512`. get_config(arg): "smoke" two steps of
a tiny model.

Command:  pretrainjax pretrain --config=t5_base --workdir=runs/t5_base
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.t5 import T5Decoder, T5Encoder, t5_size
from pretrainjax.objectives.masked.span_corruption import SpanCorruption
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

VOCAB_SIZE = 32128
LENGTH = 512


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  size = t5_size("base")
  if smoke:
    size = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "head_dim": 8, "mlp_dim": 32}
  size |= {"vocab_size": VOCAB_SIZE, "dtype": "float32" if smoke else "bfloat16"}
  return training.run(
    objective=spec(
      SpanCorruption,
      backbone=recipe(T5Encoder, max_length=LENGTH, **size),
      decoder=recipe(T5Decoder, **size),
      chunk_size=4096,
    ),
    data=text.corpus(length=LENGTH, batch_size=128, smoke=smoke),
    optimizer=spec(
      Optimizer,
      learning_rate=2e-3,
      clip_norm=1.0,
      schedule=spec(WarmupCosine, warmup=training.steps(0 if smoke else 10_000), final=0.005),
    ),
    duration=training.steps(2 if smoke else 65_536),
    log_every=1 if smoke else 100,
    checkpoint_every=5_000,
  )
