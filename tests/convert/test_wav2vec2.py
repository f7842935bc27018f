import json

import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import wav2vec2
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers
from pretrainjax.types import Sound

CONFIG = their_folders.WAV2VEC2 | {"model_type": "wav2vec2"}
HOW = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": 10**9}
KINDS = ("Wav2Vec2ForPreTraining", "Wav2Vec2ForCTC", "Wav2Vec2Model")


def read(kind="Wav2Vec2Model", tensors=(), **changes):
  return wav2vec2.read_config(Fields(CONFIG | changes, tensors=tensors), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_config_json_says_all_that_our_networks_are(kind):
  changes = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
  changes |= {"hidden_act": "relu", "hidden_dropout": 0.25, "pad_token_id": 2, "vocab_size": 9}
  recipes = read(kind, **changes, codevector_dim=6, final_dropout=0.5, num_codevector_groups=3)
  backbone = recipes["backbone"]
  assert (backbone.order, backbone.conv_norm, backbone.conv_bias) == ("pre", "layer", True)
  assert (backbone.conv_dims, backbone.dropout, backbone.activation) == ((4, 5), 0.25, "relu")
  if kind == "Wav2Vec2ForCTC":
    head = recipes["head"]
    assert (head.vocab_size, head.blank, head.dropout, head.in_dim) == (9, 2, 0.5, 6)
  assert class_for(recipes)[:2] == (wav2vec2, kind)
  written = wav2vec2.write_config(recipes, kind, Tokens())
  assert wav2vec2.read_config(Fields(written), kind) == recipes


def test_a_vector_for_hidden_frames_is_where_one_is_stored():
  assert read()["backbone"].use_mask
  assert not read(mask_time_prob=0.0)["backbone"].use_mask
  assert not read(tensors=["lm_head.weight"])["backbone"].use_mask
  assert read(tensors=["wav2vec2.masked_spec_embed"])["backbone"].use_mask
  written = wav2vec2.write_config(read(mask_time_prob=0.0), "Wav2Vec2Model", Tokens())
  assert written["mask_time_prob"] == 0


@pytest.mark.parametrize(
  "changes, said",
  [
    ({"add_adapter": True}, "add_adapter: found True"),
    ({"adapter_attn_dim": 16}, "adapter_attn_dim: found 16"),
    ({"conv_dim": [4]}, "conv_dim: found .*, expected as many as conv_kernel"),
    ({"feat_extract_norm": "batch"}, "feat_extract_norm: found 'batch'"),
    ({"hidden_act": "selu"}, "hidden_act: found 'selu'"),
    ({"mask_time_prob": 1.5}, "mask_time_prob: found 1.5"),
  ],
)
def test_what_ours_is_not_is_refused(changes, said):
  with pytest.raises(UserError, match=said):
    read(**changes)
  with pytest.raises(
    UserError, match="pad_token_id: found 9, expected a token below vocab_size, 9"
  ):
    read("Wav2Vec2ForCTC", vocab_size=9, pad_token_id=9)


def test_what_their_class_cannot_be_is_not_written_as_one():
  backbone = read()["backbone"]
  assert wav2vec2.fits({"backbone": backbone}, "Wav2Vec2Model")
  for change in ({"position_norm": "batch"}, {"feature_norm": False}):
    other = backbone.copy_and_resolve_references()
    other.update(change)
    assert not wav2vec2.fits({"backbone": other}, "Wav2Vec2Model")


@pytest.fixture(scope="module")
def tensors():
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(their_folders.CONFIGS, "Wav2Vec2ForCTC", CONFIG)
    return their_folders.tensors_of("Wav2Vec2ForCTC")


def test_a_folder_is_read_and_written_with_its_processor(tmp_path, monkeypatch, tensors):
  monkeypatch.setitem(their_folders.CONFIGS, "Wav2Vec2ForCTC", CONFIG)
  folder = their_folders.make(tmp_path / "theirs", "Wav2Vec2ForCTC", tensors=tensors)
  (folder / "preprocessor_config.json").write_text('{"do_normalize": false, "sampling_rate": 8000}')
  loaded = load(f"hf:{folder}")
  assert (loaded.encoder.normalise, loaded.encoder.sample_rate) == (False, 8000)
  encoded = loaded.encoder(Sound(np.ones((1, 90), np.int16), np.array([90])))
  logits = loaded.objective.predictions(loaded.module, encoded)["logits"]
  assert logits.shape == (*encoded.tokens.shape[:2], 32)

  (tmp_path / "ours").mkdir()
  assert write_transformers(tmp_path / "ours", networks_of(loaded), **HOW).kind == "Wav2Vec2ForCTC"
  found = TensorFolder(tmp_path / "ours")
  assert sorted(found) == sorted(tensors)
  for name, tensor in tensors.items():
    np.testing.assert_array_equal(found[name], tensor)
  written = json.loads((tmp_path / "ours" / "preprocessor_config.json").read_text())
  assert (written["do_normalize"], written["sampling_rate"]) == (False, 8000)
  assert written["return_attention_mask"] is False


def test_older_names_of_the_convolution_over_positions(tmp_path, monkeypatch, tensors):
  monkeypatch.setitem(their_folders.CONFIGS, "Wav2Vec2ForCTC", CONFIG)
  start = "wav2vec2.encoder.pos_conv_embed.conv"
  old = dict(tensors)
  for index, letter in ((0, "g"), (1, "v")):
    name = f"{start}.parametrizations.weight.original{index}"
    old[f"{start}.weight_{letter}"] = old.pop(name)
  encoders = [
    load(f"hf:{their_folders.make(tmp_path / name, 'Wav2Vec2ForCTC', tensors=some)}").encoder
    for name, some in (("old", old), ("new", tensors))
  ]
  for name in ("kernel", "scale"):
    found = [getattr(encoder.position, name)[...] for encoder in encoders]
    np.testing.assert_array_equal(*found)


def test_sound_that_ours_does_not_read_is_refused(tmp_path, monkeypatch, tensors):
  monkeypatch.setitem(their_folders.CONFIGS, "Wav2Vec2ForCTC", CONFIG)
  folder = their_folders.make(tmp_path, "Wav2Vec2ForCTC", tensors=tensors)
  (folder / "preprocessor_config.json").write_text('{"feature_size": 80}')
  with pytest.raises(UserError, match="feature_size: found 80, expected 1"):
    load(f"hf:{folder}")
