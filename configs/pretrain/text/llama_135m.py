"""A Llama of 135 M parameters (SmolLM's sizes) on a corpus of your own, several GPUs.

RMSNorm, SwiGLU, rotary positions, grouped queries, tied tables; AdamW with betas (.9, .95), weight
decay .1, clipping at 1, and SmolLM's trapezoidal schedule: peak 3e-3, a fifth of decay at the end.

The corpus: `prepare text --source=FOLDER --name=corpus --config.tokenizer.vocab_size=49152
--config.form.length=2048`. get_config(arg): "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=llama_135m --workdir=runs/llama_135m
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
from pretrainjax.train.schedule import WSD

VOCAB_SIZE = 49152
LENGTH = 2048


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  size = llama_size("smollm_135m")
  if smoke:
    size |= {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1, "mlp_dim": 32}
  backbone = recipe(
    Llama,
    vocab_size=VOCAB_SIZE,
    max_length=LENGTH,
    dtype="float32" if smoke else "bfloat16",
    **size,
  )
  steps = 2 if smoke else 600_000
  return training.run(
    objective=spec(CausalLM, backbone=backbone, chunk_size=8192),
    data=text.corpus(length=LENGTH, batch_size=512, smoke=smoke),
    optimizer=spec(
      Optimizer,
      learning_rate=3e-3,
      weight_decay=0.1,
      b2=0.95,
      clip_norm=1.0,
      schedule=spec(
        WSD,
        warmup=training.steps(0 if smoke else 2500),
        decay=training.steps(1 if smoke else steps // 5),
      ),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 100,
    checkpoint_every=5_000,
  )
