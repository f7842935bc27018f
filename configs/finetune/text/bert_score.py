"""Fine-tunes an encoder to score pairs of texts (as in STS) on a set of your own; BERT's recipe.

The set: `prepare text --source=FOLDER --name=scored --config.form.kind=examples
--config.tokenizer.path=WORKDIR/tokenizer.json`, of .jsonl with two texts and a score.

The checkpoint is chosen by "validation": the set's validation split, or 5% that are then not
trained on. The test texts are measured once, at the end.

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
  config = text.finetuning(
    smoke=smoke,
    objective=spec(
      Regression,
      backbone=text.bert(smoke, **text.DROPOUT),
      head=text.classifier(1),
      score_range=None,  # that of the training scores
    ),
    data=text.own("scored", smoke=smoke),
    evals=text.judged("scored", RegressionScore, smoke=smoke),
    **training.chosen_by("validation/spearman", every=text.EVERY),
  )
  return training.from_checkpoint(config, changes=text.DROPOUT)
