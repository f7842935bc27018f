"""kNN, linear probe (L-BFGS) and collapse of an encoder's features of SpamAssassin's e-mails.

get_config(arg): "smoke" takes some.

Command:  pretrainjax evaluate --config=spam_assassin --workdir=runs/bert_sotu
Minutes:  not run to its end here
Expected: not run to its end here
"""

from ml_collections import ConfigDict

from configs.blocks import evaluation, text
from configs.blocks.forms import form


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  smoke = form(arg, None, "smoke") == "smoke"
  train, test = (
    text.data(datasets="spam_assassin", split=split, batch_size=16 if smoke else 100, length=None)
    for split in (("train[:256]", "test[:64]") if smoke else ("train", "test"))
  )
  return evaluation.frozen_features(train=train, test=test)
