import numpy as np
import pytest
from their_tensors import noise, ours, same, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.errors import UserError
from pretrainjax.models.t5 import T5Decoder, T5Encoder

KIND = "T5ForConditionalGeneration"
SIZES = {"vocab_size": 11, "embed_dim": 6, "num_layers": 2, "num_heads": 2, "head_dim": 3}
SIZES["mlp_dim"] = 8


def made(tied):
  """Recipes, parameters and tensors."""
  backbone, decoder = recipe(T5Encoder, **SIZES), recipe(T5Decoder, **SIZES, tied=tied)
  recipes = {"backbone": backbone, "decoder": decoder}
  params = noise(recipes)
  return recipes, params, theirs(KIND, params, recipes)


@pytest.mark.parametrize("tied", [False, True])
def test_there_and_back_is_exact(tied):
  recipes, params, tensors = made(tied)
  assert ("lm_head.weight" in tensors) != tied
  same(ours(KIND, tensors, recipes), params)


def test_copies_of_the_table_are_left_out_and_other_tables_refused():
  recipes, params, tensors = made(True)
  copied = tensors | {"encoder.embed_tokens.weight": tensors["shared.weight"]}
  copied["lm_head.weight"] = tensors["shared.weight"]
  same(ours(KIND, copied, recipes), params)
  copied["decoder.embed_tokens.weight"] = tensors["shared.weight"] + 1
  with pytest.raises(UserError, match="decoder.embed_tokens.weight"):
    ours(KIND, copied, recipes)


def test_unknown_tensors_are_refused():
  recipes, _, tensors = made(False)
  with pytest.raises(UserError, match="unknown tensors encoder.block.0.layer.0.x"):
    ours(KIND, tensors | {"encoder.block.0.layer.0.x": np.zeros(1)}, recipes)
