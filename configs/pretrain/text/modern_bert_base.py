"""Masked language model, ModernBERT-base (arXiv 2412.13663), on a corpus of your own, many GPUs.

The paper's first phase: 30% of the tokens, rows of 1,024 (packed, global batch 4,608), peak rate
8e-4 held constant after a warmup, weight decay 1e-5, betas (.9, .98), eps 1e-6, no dropout; WSD
with a decay of the last tenth. Ours departs in AdamW for StableAdamW, with clipping at 1 in place
of its own.

The corpus: `prepare text --source=FOLDER --name=corpus --config.tokenizer.vocab_size=50368
--config.form.length=1024`. get_config(arg): "large", "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=modern_bert_base --workdir=runs/modern_bert_base
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.modern_bert import ModernBERT, modern_bert_size
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WSD

VOCAB_SIZE = 50368
LENGTH = 1024


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, None, "large", "smoke")
  smoke = arg == "smoke"
  size = modern_bert_size("large" if arg == "large" else "base")
  if smoke:
    size = {"embed_dim": 16, "num_layers": 4, "num_heads": 2, "mlp_dim": 24}
  backbone = recipe(
    ModernBERT,
    vocab_size=VOCAB_SIZE,
    max_length=LENGTH,
    dtype="float32" if smoke else "bfloat16",
    **size,
  )
  head = text.masked_lm_head(eps=1e-5, norm="layer_scale", use_bias=False)
  steps = 2 if smoke else 360_000
  return training.run(
    objective=spec(MaskedLM, backbone=backbone, head=head, mask_rate=0.3, chunk_size=4096),
    data=text.corpus(length=LENGTH, batch_size=4608, smoke=smoke),
    optimizer=spec(
      Optimizer,
      learning_rate=5e-4 if arg == "large" else 8e-4,
      b2=0.98,
      eps=1e-6,
      weight_decay=1e-5,
      clip_norm=1.0,
      schedule=spec(
        WSD,
        warmup=training.steps(0 if smoke else 640),
        decay=training.steps(1 if smoke else steps // 10),
      ),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 100,
    checkpoint_every=5_000,
  )
