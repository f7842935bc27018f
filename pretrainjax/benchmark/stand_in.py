"""What a config leaves open, where it is measured without its data."""

from typing import Any

from ml_collections import ConfigDict

from pretrainjax.errors import UserError
from pretrainjax.train.open_values import facts_of

# Of a typical set: the classes are few beside the network, the vocabulary is `prepare`'s own, and
# nothing is known of items and users but their numbers.
_TYPICAL = {
  "num_channels": 3,
  "image_mean": (0.5,),
  "image_std": (0.5,),
  "num_classes": 10,
  "num_tags": 9,
  "vocab_size": 8192,
  "special_ids": (0, 1, 2, 3, 4),
  "mask_id": 4,
  "end_id": 3,
  "pad_id": 0,
  "first_sentinel": 5,
  "sentinel_step": 1,
  "score_range": (0.0, 1.0),
  "num_users": 1,
  **dict.fromkeys(("num_item_features", "features_per_item"), 0),
  **dict.fromkeys(("num_user_features", "features_per_user"), 0),
  "catalogue": "",
}


class StandIn:
  """The facts of a config's datasets where they are there, those of a typical set otherwise.

  Sizes of images, lengths of texts and items of a catalogue, which decide what a step costs, are
  not guessed.

  Args:
    config: of a run.
  """

  def __init__(self, config: ConfigDict):
    self._facts = facts_of(config)

  def __getattr__(self, name: str) -> Any:
    try:
      if self._facts is not None:
        return getattr(self._facts, name)
    except UserError:
      pass
    if name not in _TYPICAL:
      raise LookupError("the data is not there")
    return _TYPICAL[name]
