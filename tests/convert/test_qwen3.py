import pytest
import their_folders

from pretrainjax.convert import qwen3
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError

KIND = "Qwen3ForCausalLM"
CONFIG = their_folders.LLAMA


@pytest.mark.parametrize(
  "said, head_dim", [({}, 128), ({"head_dim": 6}, 6), ({"head_dim": 4}, None)]
)
def test_heads_have_a_width_of_their_own(said, head_dim):
  recipes = qwen3.read_config(Fields(CONFIG | said), KIND)
  assert recipes["backbone"].head_dim == head_dim and class_for(recipes)[:2] == (qwen3, KIND)
  written = qwen3.write_config(recipes, KIND, Tokens())
  assert written["head_dim"] == (head_dim or 4)
  assert qwen3.read_config(Fields(written), KIND) == recipes


def test_no_class_has_both_norms_and_biases():
  backbone = qwen3.read_config(Fields(CONFIG), KIND)["backbone"]
  backbone.qkv_bias = True
  with pytest.raises(UserError, match="no class of transformers holds this Llama"):
    class_for({"backbone": backbone})


def test_biases_of_all_four_layers_are_refused():
  with pytest.raises(UserError, match="attention_bias: found True, expected False"):
    qwen3.read_config(Fields(CONFIG | {"attention_bias": True}), KIND)
