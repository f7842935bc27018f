"""Sentence embeddings on WordNet: finding a word's gloss by its lemmas among held-out synsets.

get_config(arg): "smoke" takes some.

Command:  pretrainjax evaluate --config=wordnet --workdir=runs/simcse_wordnet
Minutes:  less than 1 on two cores of an AMD EPYC
Expected: after simcse_wordnet:published_supervised recall@1 12.73 %, MRR 17.55 %; untrained 1.72 %,
          2.59 %
"""

from ml_collections import ConfigDict

from configs.blocks import text
from configs.blocks.forms import form


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  config = ConfigDict({"seed": 0}, sort_keys=False)
  config.evals = text.pair_evals(
    datasets="wordnet",
    split="test[:64]" if smoke else "test",
    batch_size=16 if smoke else 500,
  )
  return config
