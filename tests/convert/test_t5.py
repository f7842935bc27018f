import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import t5
from pretrainjax.errors import UserError
from pretrainjax.models.t5 import T5Decoder, T5Encoder
from pretrainjax.objectives.base import Towers

SIZES = {"vocab_size": 11, "embed_dim": 6, "num_layers": 2, "num_heads": 2, "head_dim": 3}
SIZES["mlp_dim"] = 8


def params(tied):
  rngs = nnx.Rngs(0)
  towers = Towers(
    encoder=T5Encoder(**SIZES, rngs=rngs), decoder=T5Decoder(**SIZES, tied=tied, rngs=rngs)
  )
  return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(towers, nnx.Param)))


@pytest.mark.parametrize("tied", [False, True])
def test_there_and_back_is_exact(tied):
  ours = params(tied)
  tensors = t5.to_hf(ours)
  assert ("lm_head.weight" in tensors) != tied
  jax.tree.map(np.testing.assert_array_equal, t5.from_hf(tensors), ours)


def test_copies_of_the_table_are_left_out_and_other_tables_refused():
  tensors = t5.to_hf(params(True))
  copied = tensors | {"encoder.embed_tokens.weight": tensors["shared.weight"]}
  copied["lm_head.weight"] = tensors["shared.weight"]
  jax.tree.map(np.testing.assert_array_equal, t5.from_hf(copied), params(True))
  copied["decoder.embed_tokens.weight"] = tensors["shared.weight"] + 1
  with pytest.raises(UserError, match="decoder.embed_tokens.weight"):
    t5.from_hf(copied)


def test_unknown_tensors_are_refused():
  with pytest.raises(UserError, match="unknown tensors encoder.block.0.layer.0.x"):
    t5.from_hf(t5.to_hf(params(False)) | {"encoder.block.0.layer.0.x": np.zeros(1)})
