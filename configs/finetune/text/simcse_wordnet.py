"""Unsupervised SimCSE (arXiv 2104.08821) on WordNet's glosses, on top of a masked language model.

The paper's objective: a text and the same text under another dropout mask are the positive pair,
temperature .05, a perceptron on top that only training has. Ours departs in size, in a higher
learning rate as the model is small, and in the mean of tokens in place of [CLS], of which a small
masked language model makes little. "supervised" takes (gloss, lemmas) as pairs.

The checkpoint is chosen by "validation": how well lemmas are found by their glosses among 5% of the
training pairs, which are not trained on. The test pairs are measured once, at the end.

Give --config.init=WORKDIR[@STEP] of a masked language model. get_config(arg): "supervised", "short"
takes a tenth of the steps, "smoke" two steps of a tiny model; "published" and
"published_supervised" train on all pairs and choose none, as the figures below.

Command:  pretrainjax finetune --config=simcse_wordnet:published_supervised \\
            --workdir=runs/simcse_wordnet --config.init=runs/bert_sotu
Minutes:  about 22 on two cores of an AMD EPYC, by what its first 50 steps took
Expected: gloss to lemmas: recall@1 12.73 %, MRR 17.55 %; 1.72 % and 2.95 % by
          ":published"
"""

from ml_collections import ConfigDict

from configs.blocks import text, training
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.alignment import Alignment
from pretrainjax.evaluators.retrieval import Retrieval
from pretrainjax.objectives.joint.simcse import SimCSE
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupLinear

STEPS = {
  **dict.fromkeys((None, "published"), 300),
  **dict.fromkeys(("supervised", "published_supervised"), 2000),
  "short": 30,
  "smoke": 2,
}
LENGTH = 32
CHANGES = {**text.DROPOUT, "pool": "mean"}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, *STEPS)
  smoke, steps = arg == "smoke", STEPS[arg]
  supervised = arg in ("supervised", "published_supervised")
  config = training.run(
    objective=spec(
      SimCSE,
      backbone=text.bert(smoke, **CHANGES),
      projector=text.pooler(),
    ),
    data=text.data(
      datasets="wordnet",
      length=LENGTH,
      batch_size=8 if smoke else 128,
      part="all" if training.published(arg) else "fit",
      **({"pair": "views"} if supervised else {"pair": "first", "views": 2}),
    ),
    optimizer=spec(
      Optimizer,
      learning_rate=1e-3 if supervised else 3e-4,
      schedule=spec(WarmupLinear, warmup=training.steps(steps // 10)),
    ),
    duration=training.steps(steps),
    log_every=1 if smoke else 50,
    **_judged(arg, every=250 if supervised else max(steps // 6, 1)),
  )
  return training.from_checkpoint(config, changes=CHANGES)


def _judged(arg: str | None, *, every: int) -> dict:
  """Arguments of `training.run` by which a form is judged."""
  smoke = arg == "smoke"
  if training.published(arg):
    # Among pairs that are trained on, too; the test split is for `evaluate`.
    return {"evals": text.pair_evals(datasets="wordnet", split="train[95%:]", every=500)}
  evals = text.judged("wordnet", Retrieval, smoke=smoke, pair="views", every=every, batch_size=500)
  evals.alignment = spec(Alignment, data=evals.validation.data, every=every)
  return {"evals": evals} | training.chosen_by("validation/mrr", every=every)
