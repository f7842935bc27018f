"""ELECTRA-small (arXiv 2003.10555) on a corpus of your own, one GPU.

The paper's recipe (appendix A): rows of 128, 128 rows a step, 1M steps, AdamW at 5e-4 with 10,000
steps of warmup and linear decay, weight decay .01, dropout .1; a generator of a quarter of the
width, 15% of the tokens, the discriminator's loss times 50.

The corpus: `prepare text --source=FOLDER --name=corpus --config.tokenizer.kind=wordpiece
--config.tokenizer.vocab_size=30592 --config.form.length=128`. get_config(arg): "smoke" two steps of
a tiny model.

Command:  pretrainjax pretrain --config=electra_small --workdir=runs/electra_small
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.bert import BERT, bert_size
from pretrainjax.objectives.masked.electra import Electra
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

VOCAB_SIZE = 30592
LENGTH = 128


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  size = bert_size("electra_small")
  if smoke:
    size = {"embed_dim": 16, "num_layers": 2, "num_heads": 4, "mlp_dim": 32, "embedding_dim": 8}
  shared = {
    "vocab_size": VOCAB_SIZE,
    "max_length": LENGTH,
    "dtype": "float32" if smoke else "bfloat16",
    **text.DROPOUT,
  }
  width, table = size["embed_dim"], size["embedding_dim"]
  quarter = {"embed_dim": width // 4, "num_heads": 1, "mlp_dim": size["mlp_dim"] // 4}
  return training.run(
    objective=spec(
      Electra,
      backbone=recipe(BERT, **shared, **size),
      generator=recipe(BERT, **shared, **(size | quarter)),
      head=text.masked_lm_head(embedding_dim=table),
      detector=text.detector(width),
    ),
    data=text.corpus(length=LENGTH, batch_size=128, smoke=smoke),
    optimizer=spec(
      Optimizer,
      learning_rate=5e-4,
      eps=1e-6,
      weight_decay=0.01,
      schedule=spec(WarmupLinear, warmup=training.steps(0 if smoke else 10_000)),
    ),
    duration=training.steps(2 if smoke else 1_000_000),
    log_every=1 if smoke else 100,
    checkpoint_every=10_000,
  )
