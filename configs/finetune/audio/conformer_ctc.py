"""Fine-tunes a Conformer to write down what is said, by CTC, on sound with transcripts.

The set: `prepare audio_folder --source=FOLDER --name=sounds` with transcripts, or --datasets=NAME
(`prepare tuxpaint --config.source.languages=fr` for example). Tokens follow from the set's
tokenizer: letters, unless it was prepared with another. What is hidden of the spectrogram while it
learns (arXiv 1904.08779) is half as wide as in the paper: its sentences are longer than prompts.

The checkpoint is chosen by "validation": the set's validation split, or 5 % of the training sounds
that are then not trained on. The test sounds are transcribed once, at the end, by that checkpoint.

Give --config.init=WORKDIR[@STEP], of best_rq_sounds for example; the encoder stays as it was for
the first 50 steps. get_config(arg): "scratch" is the same network without a checkpoint, "base" the
Conformer of 576 x 12, "smoke" two steps of a tiny model.

Command:  pretrainjax finetune --config=conformer_ctc --workdir=runs/conformer_ctc \\
            --config.init=runs/best_rq_sounds
Minutes:  16, on one of two busy cores of an AMD EPYC, of 19 minutes of captions
Expected: 41.91 % of letters wrong on the test captions, from scratch; see docs/results.md
"""

from ml_collections import ConfigDict

from configs.blocks import sounds, training
from configs.blocks.forms import form
from pretrainjax.augment.audio import Policy
from pretrainjax.config import recipe, spec
from pretrainjax.evaluators.word_errors import WordErrors
from pretrainjax.models.heads import Head
from pretrainjax.objectives.supervised.ctc import CTC
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine

EVERY = 200
CHANGES = {"dropout": 0.1}


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, "scratch", *sounds.FORMS)
  smoke, scratch = arg == "smoke", arg == "scratch"
  size = None if scratch else arg
  said = {"text_length": None, "max_seconds": None}
  held, test = (
    sounds.still(size, **said, **which) for which in ({"part": "held_out"}, {"split": "test"})
  )
  first = {} if scratch else {"frozen_at_first": ("encoder",), "frozen_steps": 1 if smoke else 50}
  config = training.run(
    objective=spec(
      CTC,
      backbone=sounds.conformer(size, **CHANGES),
      head=recipe(Head, in_dim=None, num_classes=None, init_std=0.02),
      vocab_size=None,
      blank_id=None,
      special_ids=None,
      spec_augment=spec(
        Policy, num_frequency=2, frequency=14, num_time=2, time=50, time_fraction=0.1
      ),
    ),
    data=sounds.data(size, batch_size=32, part="fit", buckets=1 if smoke else 4, **said),
    optimizer=spec(
      Optimizer,
      learning_rate=1e-3,
      weight_decay=0.01,
      b2=0.98,
      schedule=spec(WarmupCosine, warmup=training.epochs(0 if smoke else 6)),
      **first,
    ),
    duration=training.steps(2) if smoke else training.epochs(60),
    log_every=1 if smoke else 50,
    evals=ConfigDict(
      {
        "validation": spec(WordErrors, data=held, every=0 if smoke else EVERY),
        "test": spec(WordErrors, data=test),
      }
    ),
    **training.chosen_by("validation/cer", every=EVERY, mode="min"),
  )
  return training.from_checkpoint(config, changes=CHANGES, unused=("mask_vector",))
