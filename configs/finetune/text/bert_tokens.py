"""Fine-tunes an encoder to tell entities (BIO tags) on a set of your own; BERT's recipe.

The set: `prepare text --source=FOLDER --name=tagged --config.form.kind=examples
--config.tokenizer.path=WORKDIR/tokenizer.json`, of .jsonl with words and a tag for each.

The checkpoint is chosen by "validation": the set's validation split, or 5% that are then not
trained on. The test texts are measured once, at the end.

Give --config.init=WORKDIR[@STEP]. get_config(arg): "smoke" two steps of a tiny model.

Command:  pretrainjax finetune --config=bert_tokens --workdir=runs/bert_tokens \\
            --config.init=runs/bert_sotu
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.token_f1 import TokenF1
from pretrainjax.objectives.supervised.token_classification import TokenClassification


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = text.finetuning(
    smoke=smoke,
    objective=spec(
      TokenClassification,
      backbone=text.bert(smoke, **text.DROPOUT),
      head=text.classifier(),
      num_classes=None,
    ),
    data=text.own("tagged", smoke=smoke),
    evals=text.judged("tagged", TokenF1, smoke=smoke),
    **training.chosen_by("validation/f1", every=text.EVERY),
  )
  return training.from_checkpoint(config, changes=text.DROPOUT)
