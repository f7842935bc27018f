"""A Llama of 1.2 B parameters (the sizes of Llama 3.2 1B) on a corpus of your own, many GPUs.

RMSNorm, SwiGLU, rotary positions with theta 500,000, grouped queries, tied tables; trained as
TinyLlama (arXiv 2401.02385, section 2.3), for Meta gives nothing for this size: batches of 2 M
tokens, AdamW with betas (.9, .95), 4e-4, 2000 steps of warmup, cosine to a tenth, weight decay .1,
clipping at 1. Blocks are recomputed in the backward pass.

The corpus: `prepare text --source=FOLDER --name=corpus --config.tokenizer.vocab_size=128256
--config.form.length=2048`. get_config(arg): "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=llama_1b --workdir=runs/llama_1b
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.llama import Llama, llama_size
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

VOCAB_SIZE = 128256
LENGTH = 2048


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  size = llama_size("3_1b")
  if smoke:
    size |= {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "mlp_dim": 32}
  backbone = recipe(
    Llama,
    vocab_size=VOCAB_SIZE,
    max_length=LENGTH,
    theta=500_000.0,
    dtype="float32" if smoke else "bfloat16",
    remat="none" if smoke else "full",
    **size,
  )
  steps = 2 if smoke else 500_000
  return training.run(
    objective=spec(CausalLM, backbone=backbone, chunk_size=8192),
    data=text.corpus(length=LENGTH, batch_size=1024, smoke=smoke),
    optimizer=spec(
      Optimizer,
      learning_rate=4e-4,
      weight_decay=0.1,
      b2=0.95,
      clip_norm=1.0,
      schedule=spec(WarmupCosine, warmup=training.steps(0 if smoke else 2000), final=0.1),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 100,
    checkpoint_every=5_000,
  )
