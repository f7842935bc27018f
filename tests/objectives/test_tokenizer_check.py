import functools
import types

import pytest

from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.objectives.tokenizer_check import check_vocabulary

BACKBONE = functools.partial(
  BERT, vocab_size=30, max_length=8, embed_dim=8, num_layers=1, num_heads=2, mlp_dim=8
)


def data(vocab_size=30, **ids):
  names = ("pad_id", "unknown_id", "begin_id", "end_id", "mask_id")
  tokenizer = types.SimpleNamespace(**dict(zip(names, range(5), strict=True)) | ids)
  tokenizer.vocab_size = vocab_size
  return types.SimpleNamespace(tokenizer=tokenizer)


def test_what_fits_passes():
  check_vocabulary(BACKBONE, data(), special_ids=(0, 1, 2, 3, 4), mask_id=4)
  check_vocabulary(BACKBONE, data(vocab_size=20, mask_id=9))


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (data(vocab_size=31), "backbone.vocab_size: found 30, expected at least 31"),
    (data(mask_id=9), r"objective.mask_id: found 4, expected 9, the \[MASK\]"),
    (data(begin_id=7), r"objective.special_ids: found \(0, 1, 2, 3, 4\), expected \(0, 1, 3, 4, 7"),
    (types.SimpleNamespace(tokenizer=None), "config.data: found SimpleNamespace, expected text"),
  ],
)
def test_mistakes_are_named(given, message):
  with pytest.raises(UserError, match=message):
    check_vocabulary(BACKBONE, given, special_ids=(0, 1, 2, 3, 4), mask_id=4)
