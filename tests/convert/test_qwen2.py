import pytest
import their_folders

from pretrainjax.convert import qwen2
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError

KIND = "Qwen2ForCausalLM"
CONFIG = their_folders.LLAMA


def test_queries_keys_and_values_have_biases():
  recipes = qwen2.read_config(Fields(CONFIG), KIND)
  assert class_for(recipes)[:2] == (qwen2, KIND)
  names = {rule.theirs for rule in qwen2.table(recipes, KIND, Tokens()).rules}
  layer = "model.layers.{layer}.self_attn"
  assert {f"{layer}.{name}_proj.bias" for name in "qkv"} <= names
  assert f"{layer}.o_proj.bias" not in names
  written = qwen2.write_config(recipes, KIND, Tokens())
  assert qwen2.read_config(Fields(written), KIND) == recipes


ALL = {"use_sliding_window": True, "sliding_window": 3}


@pytest.mark.parametrize(
  "changes, window",
  [
    (ALL | {"max_window_layers": 0}, 2),
    (ALL | {"layer_types": ["sliding_attention"] * 3}, 2),
    (ALL | {"max_window_layers": 3}, None),
    (ALL | {"sliding_window": None, "max_window_layers": 0}, None),
    (ALL, None),  # 28 layers have none where nothing is said
    ({"sliding_window": 3, "max_window_layers": 0}, None),
  ],
)
def test_a_window_of_all_layers_is_ours(changes, window):
  recipes = qwen2.read_config(Fields(CONFIG | changes), KIND)
  assert recipes["backbone"].window == window and class_for(recipes)[:2] == (qwen2, KIND)
  written = qwen2.write_config(recipes, KIND, Tokens())
  assert written["use_sliding_window"] == (window is not None)
  assert qwen2.read_config(Fields(written), KIND) == recipes


@pytest.mark.parametrize(
  "changes, said",
  [
    (ALL | {"max_window_layers": 1}, "max_window_layers: found 1, expected 0, or 3"),
    (ALL | {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types: found"),
    ({"layer_types": ["sliding_attention"] * 3}, "layer_types: found"),
    ({"layer_types": "full_attention"}, "layer_types: found"),
    ({"layer_types": 3}, "layer_types: found 3"),
  ],
)
def test_windows_of_some_layers_are_refused(changes, said):
  with pytest.raises(UserError, match=said):
    qwen2.read_config(Fields(CONFIG | changes), KIND)
