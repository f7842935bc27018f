import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import gpt2
from pretrainjax.errors import UserError
from pretrainjax.models.gpt import GPT
from pretrainjax.objectives.split import split


@pytest.fixture(scope="module")
def params():
  sizes = {"embed_dim": 6, "num_layers": 3, "num_heads": 2, "mlp_dim": 10}
  found = split(GPT(vocab_size=11, max_length=7, rngs=nnx.Rngs(0), **sizes))[1]
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), found)


def test_both_directions_are_inverse(params):
  back = gpt2.from_hf(gpt2.to_hf(params))
  jax.tree.map(np.testing.assert_array_equal, back, params)


def test_queries_keys_and_values_are_fused_in_this_order(params):
  tensors = gpt2.to_hf(params)
  kernels = [params["blocks"]["attention"][p]["kernel"][1] for p in ("query", "key", "value")]
  fused = np.concatenate(kernels, axis=1)
  np.testing.assert_array_equal(tensors["transformer.h.1.attn.c_attn.weight"], fused)
  assert tensors["transformer.h.1.attn.c_attn.bias"].shape == (18,)
  assert tensors["transformer.h.2.mlp.c_fc.weight"].shape == (6, 10)
  assert "lm_head.weight" not in tensors


def test_reads_files_without_prefix_and_with_masks_or_a_copy_of_the_head(params):
  tensors = gpt2.to_hf(params)
  bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
  bare["h.0.attn.bias"] = np.ones((1, 1, 7, 7), bool)
  bare["h.0.attn.masked_bias"] = np.float32(-1e4)
  full = tensors | {"lm_head.weight": tensors["transformer.wte.weight"]}
  for found in (gpt2.from_hf(bare), gpt2.from_hf(full)):
    jax.tree.map(np.testing.assert_array_equal, found, params)


def test_refuses_what_does_not_fit(params):
  tensors = gpt2.to_hf(params)
  with pytest.raises(UserError, match="lm_head.weight is not tied"):
    gpt2.from_hf(tensors | {"lm_head.weight": np.zeros((11, 6))})
  with pytest.raises(UserError, match=r"missing tensors transformer.h.2.ln_1.bias"):
    gpt2.from_hf({n: t for n, t in tensors.items() if n != "transformer.h.2.ln_1.bias"})
