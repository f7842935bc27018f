import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import llama
from pretrainjax.errors import UserError
from pretrainjax.models.llama import Llama
from pretrainjax.objectives.split import split


def params(*, tied):
  sizes = {"embed_dim": 8, "num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "mlp_dim": 10}
  model = nnx.eval_shape(
    lambda: Llama(vocab_size=11, max_length=7, tied=tied, rngs=nnx.Rngs(0), **sizes)
  )
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), split(model)[1])


@pytest.mark.parametrize("tied", [False, True])
def test_both_directions_are_inverse(tied):
  tensors = llama.to_hf(params(tied=tied))
  assert tensors["model.layers.2.self_attn.k_proj.weight"].shape == (4, 8)
  assert ("lm_head.weight" in tensors) == (not tied)
  back = llama.from_hf(tensors, tied=tied)
  jax.tree.map(np.testing.assert_array_equal, back, params(tied=tied))


def test_reads_files_with_wavelengths_or_a_copy_of_the_head():
  tensors = llama.to_hf(params(tied=True))
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(1)
  tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
  back = llama.from_hf(tensors, tied=True)
  jax.tree.map(np.testing.assert_array_equal, back, params(tied=True))


def test_refuses_what_does_not_fit():
  tensors = llama.to_hf(params(tied=False))
  with pytest.raises(UserError, match="lm_head.weight is not tied"):
    llama.from_hf(tensors, tied=True)
  with pytest.raises(UserError, match="unknown tensors model.layers.0.self_attn.q_proj.bias"):
    llama.from_hf(tensors | {"model.layers.0.self_attn.q_proj.bias": np.ones(8)}, tied=False)
