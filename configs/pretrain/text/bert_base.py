"""Masked language model, BERT-base (arXiv 1810.04805), on a corpus of your own, several GPUs.

The paper's recipe for rows of 512: 256 rows a step, 1M steps, AdamW at 1e-4 with 10,000 steps of
warmup and linear decay, weight decay .01, dropout .1, 15% of the tokens. Ours departs in having no
prediction of the next sentence, and masks anew each time (RoBERTa, arXiv 1907.11692).

The corpus: `prepare text --source=FOLDER --name=corpus --config.tokenizer.kind=wordpiece
--config.tokenizer.vocab_size=30592 --config.form.length=512`. get_config(arg): "large" is
BERT-large, "roberta" takes RoBERTa's batch, rate and steps, "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=bert_base --workdir=runs/bert_base
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.bert import BERT, bert_size
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

# A multiple of 64, which matrix units like; as BERT's 30,522 and some.
VOCAB_SIZE = 30592
LENGTH = 512


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, None, "large", "roberta", "smoke")
  smoke, roberta = arg == "smoke", arg == "roberta"
  size = bert_size({"smoke": "tiny", "large": "large"}.get(arg or "", "base"))
  backbone = recipe(
    BERT,
    vocab_size=VOCAB_SIZE,
    max_length=LENGTH,
    num_types=1 if roberta else 2,
    eps=1e-5 if roberta else 1e-12,
    dtype="float32" if smoke else "bfloat16",
    **text.DROPOUT,
    **size,
  )
  head = text.masked_lm_head(eps=1e-5 if roberta else 1e-12)
  steps = 2 if smoke else 500_000 if roberta else 1_000_000
  return training.run(
    objective=spec(MaskedLM, backbone=backbone, head=head, chunk_size=4096),
    data=text.corpus(length=LENGTH, batch_size=8192 if roberta else 256, smoke=smoke),
    optimizer=spec(
      Optimizer,
      learning_rate=6e-4 if roberta else 1e-4,  # RoBERTa: table 9
      b2=0.98 if roberta else 0.999,
      eps=1e-6,
      weight_decay=0.01,
      schedule=spec(
        WarmupLinear,
        warmup=training.steps(0 if smoke else 24_000 if roberta else 10_000),
      ),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 100,
    checkpoint_every=10_000,
  )
