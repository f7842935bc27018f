"""Masked language model, BERT (arXiv 1810.04805), on the State of the Union, for two CPU cores.

The paper's objective: of the chosen tokens 80% [MASK], 10% random, 10% as they are; AdamW with
warmup and linear decay, weight decay .01. Ours departs in size, in rows that hold stretches of one
or several speeches (RoBERTa's "full sentences", arXiv 1907.11692) in place of sentence pairs, in no
dropout (as in Cramming, arXiv 2212.14034), in a higher learning rate for the few steps, and in 40%
of tokens chosen, not 15% (arXiv 2202.08005), with b2 .98: more to learn from in each step, without
which a model this small stays at the frequencies of words for long (docs/log.md).

get_config(arg): "long" is what docs/results.md shows; "short" takes a tenth of the
steps, "smoke" two steps of a tiny model.

Command:  pretrainjax pretrain --config=bert_sotu:long --workdir=runs/bert_sotu
Minutes:  17, on two cores of an AMD EPYC, other work beside
Expected: test loss of hidden tokens 6.39 nats, unigrams 6.72; fine-tuned to 1 % of spam's labels
          84.05 %
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

STEPS = {None: 1000, "long": 4000, "short": 100, "smoke": 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  return training.run(
    objective=spec(
      MaskedLM,
      backbone=text.bert(smoke, max_length=None),
      head=text.masked_lm_head(),
      mask_rate=0.4,
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
    evals=text.language_model_evals(head="masked", every=1000, smoke=smoke),
  )
