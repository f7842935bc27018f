import pytest
import their_folders

from pretrainjax.convert import clip_text
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError

KIND = "CLIPTextModelWithProjection"
CONFIG = their_folders.CONFIGS[KIND]


def read(**changes):
  return clip_text.read_config(Fields(CONFIG | changes), KIND)


@pytest.mark.parametrize(("said", "end_id"), [(2, None), (0, 0), (9, 9), (None, 49407)])
def test_an_end_of_2_stands_for_the_highest_token(said, end_id):
  recipes = read(eos_token_id=said)
  assert recipes["backbone"].end_id == end_id
  written = clip_text.write_config(recipes, KIND, Tokens(end=3))
  assert written["eos_token_id"] == (2 if end_id is None else end_id)
  assert clip_text.read_config(Fields(written), KIND) == recipes


def test_every_hyper_parameter_comes_from_config_json():
  changes = {"hidden_act": "gelu", "layer_norm_eps": 1e-3, "attention_dropout": 0.25}
  backbone = read(**changes, initializer_range=0.5)["backbone"]
  assert (backbone.activation, backbone.eps, backbone.attention_dropout) == ("gelu", 1e-3, 0.25)
  assert (backbone.init_std, backbone.causal, backbone.pool) == (0.5, True, "end")


def test_without_its_projection_it_is_the_bare_class():
  recipes = read()
  assert class_for(recipes)[1] == KIND
  assert class_for({"backbone": recipes["backbone"]})[1] == "CLIPTextModel"
  with pytest.raises(UserError, match="eos_token_id: found -1"):
    read(eos_token_id=-1)
