"""GPT-2 small (124 M parameters) on a corpus of your own, several GPUs; the recipe of nanoGPT.

0.5 M tokens a step (512 rows of 1,024), AdamW at 6e-4 with betas (.9, .95), 2,000 steps of warmup
and a cosine to a tenth, weight decay .1, gradients clipped at 1, no dropout. Ours departs in
documents that do not see each other. The name is GPT-2's, the tokenizer your own.

The corpus: `prepare text --source=FOLDER --name=corpus --config.tokenizer.vocab_size=50304
--config.form.length=1024`. get_config(arg): "medium", "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=gpt2_small --workdir=runs/gpt2_small
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.gpt import GPT, gpt_size
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM

VOCAB_SIZE = 50304
LENGTH = 1024


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, None, "medium", "smoke")
  smoke = arg == "smoke"
  size = gpt_size("medium" if arg == "medium" else "small")
  if smoke:
    size = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}
  backbone = recipe(
    GPT,
    vocab_size=VOCAB_SIZE,
    max_length=LENGTH,
    dtype="float32" if smoke else "bfloat16",
    **size,
  )
  return training.run(
    objective=spec(CausalLM, backbone=backbone, chunk_size=8192),
    data=text.corpus(length=LENGTH, batch_size=512, smoke=smoke),
    optimizer=text.language_model_optimizer(6e-4, warmup=0 if smoke else 2000),
    duration=training.steps(2 if smoke else 600_000),
    log_every=1 if smoke else 100,
    checkpoint_every=5_000,
  )
