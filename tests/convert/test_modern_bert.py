import numpy as np
import pytest
from their_tensors import noise, ours, same, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.errors import UserError
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.modern_bert import ModernBERT

KIND = "ModernBertForMaskedLM"
SIZES = {"vocab_size": 11, "max_length": 8, "embed_dim": 6, "num_layers": 4, "num_heads": 1}
HEAD = {"norm": "layer_scale", "use_bias": False, "eps": 1e-5}
RECIPES = {
  "backbone": recipe(ModernBERT, **SIZES, mlp_dim=10),
  "head": recipe(MaskedLMHead, embed_dim=6, vocab_size=11, **HEAD),
}


@pytest.fixture(scope="module")
def params():
  return noise(RECIPES)


def test_both_directions_are_inverse(params):
  same(ours(KIND, theirs(KIND, params, RECIPES), RECIPES), params)
  alone, backbone = {"encoder": params["encoder"]}, {"backbone": RECIPES["backbone"]}
  same(ours("ModernBertModel", theirs("ModernBertModel", alone, backbone), backbone), alone)


def test_the_first_layer_is_the_stem_and_has_no_norm_before_attention(params):
  tensors = theirs(KIND, params, RECIPES)
  assert "model.layers.0.attn_norm.weight" not in tensors
  scale = params["encoder"]["blocks"]["norm1"]["scale"]
  np.testing.assert_array_equal(tensors["model.layers.1.attn_norm.weight"], scale[0])
  stem = params["encoder"]["stem"]["mlp"]
  fused = np.concatenate([stem["gate"]["kernel"].T, stem["up"]["kernel"].T])
  np.testing.assert_array_equal(tensors["model.layers.0.mlp.Wi.weight"], fused)


def test_refuses_what_does_not_fit(params):
  tensors = theirs(KIND, params, RECIPES)
  with pytest.raises(UserError, match="unknown tensors model.layers.0.attn_norm.weight"):
    ours(KIND, tensors | {"model.layers.0.attn_norm.weight": np.ones(6)}, RECIPES)
