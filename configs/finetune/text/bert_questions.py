"""Fine-tunes an encoder to find answers in texts (as in SQuAD) on a set of your own; BERT's recipe.

The set: `prepare text --source=FOLDER --name=questions --config.form.window=128
--config.form.stride=64 --config.tokenizer.path=WORKDIR/tokenizer.json`, of SQuAD's .json, or of
.jsonl or .parquet with question, context and answers; the window is the network's longest row.

The checkpoint is chosen by "validation": the set's validation split, or the questions of 5% of the
contexts, which are then not trained on. The test questions are measured once, at the end.

Give --config.init=WORKDIR[@STEP]. get_config(arg): "smoke" two steps of a tiny model.

Command:  pretrainjax finetune --config=bert_questions --workdir=runs/bert_questions \\
            --config.init=runs/bert_sotu
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.answer_f1 import AnswerF1
from pretrainjax.objectives.supervised.question_answering import QuestionAnswering


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = text.finetuning(
    smoke=smoke,
    objective=spec(
      QuestionAnswering,
      backbone=text.bert(smoke, **text.DROPOUT),
      head=text.classifier(2),
    ),
    data=text.own("questions", smoke=smoke),
    evals=text.judged("questions", AnswerF1, smoke=smoke),
    **training.chosen_by("validation/f1", every=text.EVERY),
  )
  return training.from_checkpoint(config, changes=text.DROPOUT)
