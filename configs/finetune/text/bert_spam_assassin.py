"""Fine-tunes a small BERT or ELECTRA on SpamAssassin, on 1% of the labels unless told otherwise.

BERT's recipe (arXiv 1810.04805, appendix A.3) where a short run of a small model profits from it:
AdamW, warmup over a tenth and linear decay, dropout .1, a linear classifier on [CLS]; and
ELECTRA's layer decay of .8 (arXiv 2003.10555, appendix B). Learning rates are higher than theirs,
as the model is small.

The checkpoint is chosen by "validation": 5% of the training e-mails, with all their labels, that
are not trained on. The test e-mails are measured once, at the end.

Give --config.init=WORKDIR[@STEP]. get_config(arg): "scratch" is the same network and budget
without a checkpoint; "published" and "published_scratch" choose none and train on 1% of all labels,
as the figures below; "short" takes a tenth of the steps, "smoke" two steps of a tiny model.
--config.seed=N --config.data.label_seed=N choose another draw.

Command:  pretrainjax finetune --config=bert_spam_assassin:published --workdir=runs/spam \\
            --config.init=runs/bert_sotu --config.train.duration.steps=100
Minutes:  about 1 on two cores of an AMD EPYC
Expected: test top-1 84.05 % from BERT, 77.27 % from ELECTRA, 82.71 % by
          ":published_scratch"; means of three seeds
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

STEPS = {
  **dict.fromkeys((None, "scratch", "published", "published_scratch"), 150),
  "short": 15,
  "smoke": 2,
}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps, every = arg == "smoke", STEPS[arg], max(STEPS[arg] // 6, 1)
  evals = text.judged("spam_assassin", ClassificationAccuracy, smoke=smoke, every=every)
  if training.published(arg):
    judged = {"evals": ConfigDict({"accuracy": evals.test})}
  else:
    judged = {"evals": evals} | training.chosen_by("validation/top1", every=every)
  config = training.run(
    objective=spec(
      Classification,
      backbone=text.bert(smoke, **text.DROPOUT),
      head=text.classifier(),
      num_classes=None,
    ),
    data=text.data(
      datasets="spam_assassin",
      batch_size=8 if smoke else 32,
      label_fraction=0.5 if smoke else 0.01,
      part="all" if training.published(arg) else "fit",
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=5e-4,
      weight_decay=0.01,
      layer_decay=None if arg in ("scratch", "published_scratch") else 0.8,
      clip_norm=1.0,
      schedule=spec(WarmupLinear, warmup=training.steps(steps // 10)),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 20,
    **judged,
  )
  return training.from_checkpoint(config, changes=text.DROPOUT)
