import jax
import numpy as np
import pytest
from flax import nnx

from pretrainjax.convert import modern_bert
from pretrainjax.errors import UserError
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.modern_bert import ModernBERT
from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.split import split


@pytest.fixture(scope="module")
def params():
  rngs = nnx.Rngs(0)
  sizes = {"vocab_size": 11, "max_length": 8, "embed_dim": 6, "num_layers": 4, "num_heads": 1}
  encoder = ModernBERT(**sizes, mlp_dim=10, rngs=rngs)
  options = {"norm": "layer_scale", "use_bias": False, "eps": 1e-5}
  head = MaskedLMHead(embed_dim=6, vocab_size=11, rngs=rngs, **options)
  found = split(Towers(encoder=encoder, head=head))[1]
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), found)


def test_both_directions_are_inverse(params):
  back = modern_bert.from_hf(modern_bert.to_hf(params))
  jax.tree.map(np.testing.assert_array_equal, back, params)
  alone = modern_bert.encoder_from_hf(modern_bert.encoder_to_hf(params["encoder"]))
  jax.tree.map(np.testing.assert_array_equal, alone, params["encoder"])


def test_the_first_layer_is_the_stem_and_has_no_norm_before_attention(params):
  tensors = modern_bert.to_hf(params)
  assert "model.layers.0.attn_norm.weight" not in tensors
  scale = params["encoder"]["blocks"]["norm1"]["scale"]
  np.testing.assert_array_equal(tensors["model.layers.1.attn_norm.weight"], scale[0])
  stem = params["encoder"]["stem"]["mlp"]
  fused = np.concatenate([stem["gate"]["kernel"].T, stem["up"]["kernel"].T])
  np.testing.assert_array_equal(tensors["model.layers.0.mlp.Wi.weight"], fused)


def test_refuses_what_does_not_fit(params):
  tensors = modern_bert.to_hf(params)
  with pytest.raises(UserError, match="unknown tensors model.layers.0.attn_norm.weight"):
    modern_bert.from_hf(tensors | {"model.layers.0.attn_norm.weight": np.ones(6)})
