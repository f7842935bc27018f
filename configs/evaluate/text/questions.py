"""Answers that a fine-tuned encoder finds in test texts of your own, as in SQuAD: exact match, F1.

The set: as of bert_questions.py, or --datasets=NAME; SQuAD's own dev file is its "validation":
--config.evals.answers.data.split=validation. Lengths are those of the run.
get_config("smoke") takes some.

Command:  pretrainjax evaluate --config=questions --workdir=runs/bert_questions --no_random_init
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.answer_f1 import AnswerF1


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = ConfigDict({"seed": 0}, sort_keys=False)
  test = text.still("questions", split="test", smoke=smoke)
  config.evals = {"answers": spec(AnswerF1, data=test)}
  return config
