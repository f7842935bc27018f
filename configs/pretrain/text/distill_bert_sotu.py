"""Distils a trained encoder of State of the Union into a BERT of half its width, token by token.

The teacher is any run with the tokenizer of this data, --config.init.teacher=RUN[@STEP][:PART], and
is held fixed; a projector takes each of the student's tokens to the teacher's width, and the loss
is 1 - cosine, as in DistilBERT (arXiv 1910.01108, section 3), whose other two terms are left out.

get_config(arg): "long" four times the steps; "short" takes a tenth of the steps, "smoke" two steps
of a tiny model.

Command:  pretrainjax pretrain --config=distill_bert_sotu --workdir=runs/distilled_bert \\
            --config.init.teacher=runs/bert_sotu
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import recipe, spec
from pretrainjax.models.heads import Projector
from pretrainjax.objectives.supervised.distillation import Distillation
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

STEPS = {None: 1000, "long": 4000, "short": 100, "smoke": 2}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  width = text.embed_dim(smoke) // 2
  student = {"embed_dim": width, "mlp_dim": 4 * width, "max_length": None}
  projector = recipe(Projector, in_dim=None, out_dim=None, num_layers=1, batch_norm=False)
  config = training.run(
    objective=spec(
      Distillation,
      backbone=text.bert(smoke, **student),
      teacher=text.bert(smoke, max_length=None),
      projector=projector,
      level="tokens",
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
  )
  return training.from_teacher(config)
