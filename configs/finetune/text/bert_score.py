"""Fine-tunes an encoder to score pairs of texts (as in STS) on a set of your own; BERT's recipe.

The set: `prepare text --source=FOLDER --name=scored --config.form.kind=examples
--config.tokenizer.path=WORKDIR/tokenizer.json`, of .jsonl with two texts and a score.

Give --config.init=WORKDIR[@STEP]. get_config(arg): "smoke" two steps of a tiny model.

Command:  pretrainjax finetune --config=bert_score --workdir=runs/bert_score \\
            --config.init=runs/bert_sotu
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.regression_score import RegressionScore
from pretrainjax.objectives.supervised.regression import Regression


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  test = text.data(
    datasets="scored",
    split="test[:64]" if smoke else "test",
    batch_size=16 if smoke else 100,
    length=None,
  )
  config = training.run(
    objective=spec(
      Regression,
      backbone=text.bert(smoke, **text.DROPOUT),
      head=text.classifier(1),
    ),
    data=text.data(datasets="scored", batch_size=8 if smoke else 32),
    optimizer=text.finetuning_optimizer(5e-4, warmup=0.1),
    duration=training.steps(2) if smoke else training.epochs(3),
    log_every=1 if smoke else 20,
    evals=ConfigDict({"scores": spec(RegressionScore, data=test)}),
  )
  return training.from_checkpoint(config, changes=text.DROPOUT)
