import numpy as np
import pytest
from their_tensors import noise, ours, same, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.lm_head import MaskedLMHead

KIND = "RobertaForMaskedLM"
SIZES = {"vocab_size": 11, "max_length": 7, "embed_dim": 6, "num_layers": 3, "num_heads": 2}
SIZES |= {"mlp_dim": 10, "num_types": 1}
BACKBONE = recipe(BERT, **SIZES)
RECIPES = {"backbone": BACKBONE, "head": recipe(MaskedLMHead, embed_dim=6, vocab_size=11)}


@pytest.fixture(scope="module")
def params():
  return noise(RECIPES)


def test_both_directions_are_inverse(params):
  same(ours(KIND, theirs(KIND, params, RECIPES), RECIPES), params)
  alone, backbone = {"encoder": params["encoder"]}, {"backbone": BACKBONE}
  same(ours("RobertaModel", theirs("RobertaModel", alone, backbone), backbone), alone)


def test_their_positions_begin_two_rows_later(params):
  tensors = theirs(KIND, params, RECIPES)
  table = tensors["roberta.embeddings.position_embeddings.weight"]
  assert table.shape == (9, 6) and not table[:2].any()
  np.testing.assert_array_equal(table[2:], params["encoder"]["position_table"])
  as_read = RECIPES | {"backbone": recipe(BERT, **SIZES, position_offset=2)}
  found = ours(KIND, tensors, as_read)
  np.testing.assert_array_equal(found["encoder"]["position_table"], table)


def test_refuses_what_does_not_fit(params):
  tensors = theirs(KIND, params, RECIPES)
  with pytest.raises(UserError, match="unknown tensors roberta.extra"):
    ours(KIND, tensors | {"roberta.extra": np.zeros(1)}, RECIPES)
