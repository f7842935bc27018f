import numpy as np
import pytest
import their_folders

from pretrainjax.convert import hubert, wav2vec2
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError

CONFIG = their_folders.WAV2VEC2 | {"model_type": "hubert"}


def read(kind="HubertModel", **changes):
  return hubert.read_config(Fields(CONFIG | changes), kind)


@pytest.mark.parametrize("kind", ["HubertModel", "HubertForCTC"])
def test_config_json_says_all_that_our_networks_are(kind):
  recipes = read(kind, conv_pos_batch_norm=True, feat_proj_layer_norm=False, vocab_size=7)
  backbone = recipes["backbone"]
  assert (backbone.position_norm, backbone.feature_norm) == ("batch", False)
  assert class_for(recipes)[:2] == (hubert, kind)
  assert not wav2vec2.fits(recipes, "Wav2Vec2Model")
  written = hubert.write_config(recipes, kind, Tokens())
  assert hubert.read_config(Fields(written), kind) == recipes


def test_of_a_batch_norm_there_are_statistics_and_a_counter():
  for changes, count in (({}, 0), ({"conv_pos_batch_norm": True}, 1)):
    found = hubert.table(read(**changes), "HubertModel", Tokens())
    assert sum("running" in rule.theirs for rule in found.rules) == 2 * count
    assert [value.dtype for value in found.fillers.values()] == [np.int64] * count
    assert all(not found.written(rule.theirs).startswith("hubert.") for rule in found.rules)


def test_what_ours_is_not_is_refused():
  with pytest.raises(UserError, match="feat_proj_layer_norm: found 1, expected true or false"):
    read(feat_proj_layer_norm=1)
