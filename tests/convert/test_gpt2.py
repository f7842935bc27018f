import numpy as np
import pytest
from their_tensors import noise, ours, same, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.errors import UserError
from pretrainjax.models.gpt import GPT

KIND = "GPT2LMHeadModel"
SIZES = {"embed_dim": 6, "num_layers": 3, "num_heads": 2, "mlp_dim": 10}
RECIPES = {"backbone": recipe(GPT, vocab_size=11, max_length=7, **SIZES)}


@pytest.fixture(scope="module")
def params():
  return noise(RECIPES)


@pytest.fixture
def tensors(params):
  return theirs(KIND, params, RECIPES)


def test_both_directions_are_inverse(params, tensors):
  same(ours(KIND, tensors, RECIPES), params)


def test_queries_keys_and_values_are_fused_in_this_order(params, tensors):
  attention = params["encoder"]["blocks"]["attention"]
  kernels = [attention[part]["kernel"][1] for part in ("query", "key", "value")]
  fused = np.concatenate(kernels, axis=1)
  np.testing.assert_array_equal(tensors["transformer.h.1.attn.c_attn.weight"], fused)
  assert tensors["transformer.h.1.attn.c_attn.bias"].shape == (18,)
  assert tensors["transformer.h.2.mlp.c_fc.weight"].shape == (6, 10)
  assert "lm_head.weight" not in tensors


def test_reads_files_without_prefix_and_with_masks_or_a_copy_of_the_head(params, tensors):
  bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
  bare["h.0.attn.bias"] = np.ones((1, 1, 7, 7), bool)
  bare["h.0.attn.masked_bias"] = np.float32(-1e4)
  full = tensors | {"lm_head.weight": tensors["transformer.wte.weight"]}
  for kind, found in (("GPT2Model", bare), (KIND, bare), (KIND, full)):
    same(ours(kind, found, RECIPES), params)


def test_refuses_what_does_not_fit(tensors):
  with pytest.raises(UserError, match="lm_head.weight is not tied"):
    ours(KIND, tensors | {"lm_head.weight": np.zeros((11, 6))}, RECIPES)
  missing = "transformer.h.2.ln_1.bias"
  with pytest.raises(UserError, match=f"missing tensors {missing}"):
    ours(KIND, {n: t for n, t in tensors.items() if n != missing}, RECIPES)
