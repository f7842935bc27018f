"""Fine-tunes an encoder to tell classes of texts, or of pairs, of your own; BERT's recipe.

The set: `prepare text --source=FILE.tsv --name=labelled
--config.tokenizer.path=WORKDIR/tokenizer.json`, of texts with a label each, or --datasets=NAME. Its
classes follow from it.

The checkpoint is chosen by "validation": the set's validation split, or 5% of each class that are
then not trained on. The test texts are measured once, at the end.

Give --config.init=WORKDIR[@STEP]; without it the same network is trained from scratch.
get_config(arg): "smoke" two steps of a tiny model.

Command:  pretrainjax finetune --config=bert_classes --workdir=runs/bert_classes \\
            --config.init=runs/bert_sotu
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.classification_accuracy import ClassificationAccuracy
from pretrainjax.objectives.supervised.classification import Classification


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = text.finetuning(
    smoke=smoke,
    objective=spec(
      Classification,
      backbone=text.bert(smoke, **text.DROPOUT),
      head=text.classifier(),
      num_classes=None,
    ),
    data=text.own("labelled", smoke=smoke, buckets=1),
    evals=text.judged("labelled", ClassificationAccuracy, smoke=smoke),
    **training.chosen_by("validation/top1", every=text.EVERY),
  )
  return training.from_checkpoint(config, changes=text.DROPOUT)
