"""ELECTRA (arXiv 2003.10555) on the State of the Union, for two CPU cores.

The paper's objective: a generator fills 15% of the tokens in, the discriminator says of each token
whether it is the original, weighed 50 to 1; embeddings are shared, the generator has a quarter of
the width. Tokens, steps and optimizer are those of bert_sotu.py. Ours departs in size, in rows of
several speeches, and in no dropout.

get_config(arg): "long" is what docs/results.md shows; "short" takes a tenth of the
steps, "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=electra_sotu:long --workdir=runs/electra_sotu
Minutes:  22, on two cores of an AMD EPYC, other work beside
Expected: fine-tuned to 1 % of spam's labels test top-1 77.27 %, to all of them 93.10 %
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.objectives.masked.electra import Electra
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

STEPS = {None: 1000, "long": 4000, "short": 100, "smoke": 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  width = text.embed_dim(smoke)
  return training.run(
    objective=spec(
      Electra,
      backbone=text.bert(smoke, max_length=None),
      generator=text.bert(
        smoke,
        max_length=None,
        embed_dim=width // 4,
        embedding_dim=width,
        num_heads=1,
        mlp_dim=width,
      ),
      head=text.masked_lm_head(embedding_dim=width),
      detector=text.detector(width),
    ),
    data=text.data(datasets="sotu", batch_size=8 if smoke else 32),
    optimizer=spec(
      Optimizer,
      learning_rate=1e-3,
      weight_decay=0.01,
      b2=0.98,
      schedule=spec(WarmupLinear, warmup=training.steps(steps // 10)),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 50,
    checkpoint_every=1000,
  )
