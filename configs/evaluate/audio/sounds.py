"""kNN, linear probe (L-BFGS) and collapse of an encoder, on labelled sounds of your own.

Beside them "log_mel": the same probe on the spectrogram itself, without a network. From few labels:
--config.evals.linear_probe.train.examples_per_class=5, and so of the others; .label_seed=1 takes
others. Where train has none of some test classes, .absent_classes="left_out" does not test these.

The set: `prepare audio_folder --source=FOLDER --name=sounds`, or --datasets=NAME, with classes, a
train and a test split. get_config("smoke") takes some sounds.

Command:  pretrainjax evaluate --config=sounds --workdir=runs/best_rq_sounds
Minutes:  about 1, on one of two busy cores of an AMD EPYC, of 1,702 words
Expected: test top-1 of a linear probe from 20 words of each of 25 languages 68.83 % after 5,000
          steps of HuBERT, 48.13 % of a new network
"""

from ml_collections import ConfigDict

from configs.blocks import evaluation, sounds
from configs.blocks.forms import form
from pretrainjax.config import spec
from pretrainjax.evaluators.log_mel_probe import LogMelProbe


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  arg = form(arg, None, "smoke")
  splits = ("train[:64]", "test[:16]") if arg == "smoke" else ("train", "test")
  train, test = (sounds.still(arg, split=split) for split in splits)
  config = evaluation.frozen_features(train=train, test=test)
  config.evals.knn.k = (1, 20, 200)  # of few labels there are no 20
  config.evals.log_mel = spec(LogMelProbe, train=train, test=test)
  return config
