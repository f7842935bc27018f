import pytest
import their_folders

from pretrainjax.convert import llama, mistral
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError

CONFIG = their_folders.LLAMA


def read(**changes):
  return mistral.read_config(Fields(CONFIG | changes), "MistralForCausalLM")


@pytest.mark.parametrize("said, window", [({}, 4095), ({"sliding_window": 3}, 2)])
def test_a_window_is_one_of_places_before(said, window):
  recipes = read(**said)
  assert recipes["backbone"].window == window
  assert class_for(recipes)[0] is mistral and not llama.fits(recipes, "LlamaForCausalLM")
  written = mistral.write_config(recipes, "MistralForCausalLM", Tokens())
  assert written["sliding_window"] == window + 1
  assert mistral.read_config(Fields(written), "MistralForCausalLM") == recipes


def test_without_a_window_it_is_a_llama():
  recipes = read(sliding_window=None)
  assert recipes["backbone"].window is None and class_for(recipes)[0] is llama
  assert class_for(recipes, kind="MistralForCausalLM")[0] is mistral
  written = mistral.write_config(recipes, "MistralForCausalLM", Tokens())
  assert written["sliding_window"] is None


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"sliding_window": 1}, "sliding_window: found 1, expected a whole number from 2"),
    ({"hidden_act": "gelu"}, "hidden_act: found 'gelu'"),
    ({"num_key_value_heads": None}, "num_key_value_heads is missing"),
    ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type: found 'yarn'"),
  ],
)
def test_what_ours_is_not_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    read(**changes)
