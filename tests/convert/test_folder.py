import json
import os

import jax
import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load, load_encoder
from pretrainjax.convert import folder as folders
from pretrainjax.convert.safetensors import TensorFolder
from pretrainjax.convert.table import flatten
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import write_transformers

TABLE = "bert.embeddings.word_embeddings.weight"


def read(folder):
  return folders.read(folder)


@pytest.mark.parametrize("kind", their_folders.CONFIGS)
@pytest.mark.parametrize("shards", [5 * 10**9, 500])
def test_what_is_read_is_written_with_the_same_bytes(kind, shards, tmp_path):
  folder = their_folders.make(tmp_path / "model", kind, shards=shards)
  networks = networks_of(load(f"hf:{folder}"), None)
  how = {"tokenizer": None, "kind": None, "dtype": "float32", "max_shard_size": shards}
  (tmp_path / "again").mkdir()
  assert write_transformers(tmp_path / "again", networks, **how).kind == kind
  found, expected = TensorFolder(tmp_path / "again"), their_folders.tensors_of(kind)
  counters = {name for name in found if name.endswith("num_batches_tracked")}  # written as zeros
  assert {name: found[name].tobytes() for name in found.keys() - counters} == {
    name: tensor.tobytes() for name, tensor in expected.items()
  }
  config = flatten(json.loads((tmp_path / "again" / "config.json").read_text()))
  expected = flatten(their_folders.config_of(kind))
  assert {key: config[key] for key in expected} == expected


def test_every_hyper_parameter_comes_from_config_json(tmp_path):
  changes = {
    "hidden_act": "relu",
    "layer_norm_eps": 1e-3,
    "hidden_dropout_prob": 0.25,
    "attention_probs_dropout_prob": 0.125,
    "initializer_range": 0.5,
  }
  found = load(f"hf:{their_folders.make(tmp_path, **changes)}")
  backbone, head = found.config.objective.backbone, found.config.objective.head
  assert (backbone.activation, backbone.eps, backbone.dropout) == ("relu", 1e-3, 0.25)
  assert (backbone.attention_dropout, backbone.init_std, backbone.max_length) == (0.125, 0.5, 7)
  assert (head.activation, head.eps) == ("relu", 1e-3)
  assert found.step == 0 and found.tokenizer is None and sorted(found.parts) == ["encoder", "head"]


def test_a_part_of_it_is_an_encoder(tmp_path):
  folder = their_folders.make(tmp_path)
  tokens = np.array([[1, 2, 3]])
  whole, part = load_encoder(f"hf:{folder}"), load_encoder(f"hf:{folder}:encoder")
  np.testing.assert_array_equal(whole(tokens).pooled, part(tokens).pooled)
  with pytest.raises(UserError, match="found a MaskedLMHead, expected an encoder"):
    load(f"hf:{folder}:head")
  with pytest.raises(UserError, match="has no part 'hed'; did you mean 'head'"):
    load(f"hf:{folder}:hed")
  with pytest.raises(UserError, match="found a step"):
    load(f"hf:{folder}@3")
  with pytest.raises(UserError, match="has no moving average"):
    load(f"hf:{folder}", weights="ema")


@pytest.mark.parametrize("kind", ["CLIPModel", "SiglipModel"])
def test_each_of_two_towers_is_an_encoder(kind, tmp_path):
  folder = their_folders.make(tmp_path, kind)
  tokens, images = np.array([[1, 2, 9]]), np.zeros((1, 7, 7, 2), np.uint8)
  whole = load(f"hf:{folder}")
  for name, inputs in (("image", images), ("text", tokens)):
    part = load_encoder(f"hf:{folder}:{name}")
    np.testing.assert_array_equal(part(inputs).pooled, getattr(whole.module, name)(inputs).pooled)
  assert whole.encoder is whole.module.image
  with pytest.raises(UserError, match="found a Projector, expected an encoder"):
    load(f"hf:{folder}:text_projector")
  with pytest.raises(UserError, match="has no part 'texts'; did you mean 'text'"):
    load(f"hf:{folder}:texts")


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_becomes_single(dtype, tmp_path):
  module = read(their_folders.make(tmp_path, dtype=dtype)).module
  table = np.asarray(module.encoder.token_embedding[...])
  expected = their_folders.tensors_of("BertForMaskedLM")[TABLE]
  assert table.dtype == np.float32
  np.testing.assert_allclose(table, expected, rtol=1e-2)


def broken(tmp_path, change, kind="BertForMaskedLM"):
  tensors = their_folders.tensors_of(kind)
  change(tensors)
  return their_folders.make(tmp_path, kind, tensors=tensors)


PROJECTION = "visual_projection.weight"
FUSED = "vision_model.head.attention.in_proj_weight"


@pytest.mark.parametrize(
  "kind, change, reason",
  [
    ("CLIPModel", lambda t: t.pop("logit_scale"), "missing tensors logit_scale"),
    (
      "CLIPModel",
      lambda t: t.update(logit_scale=np.ones(1, np.float32)),
      r"makes similarity/log_scale \[1\], expected \[\]",
    ),
    (
      "CLIPModel",
      lambda t: t.update({PROJECTION: t[PROJECTION].T.copy()}),
      r"image_projector/linear0/kernel \[5, 8\], expected \[8, 5\]",
    ),
    (
      "CLIPModel",
      lambda t: t.update({"vision_model.head.probe": np.ones(8, np.float32)}),
      "unknown tensors vision_model.head.probe",
    ),
    (
      "SiglipModel",
      lambda t: t.pop("text_model.head.bias"),
      "missing tensors text_model.head.bias",
    ),
    (
      "SiglipModel",
      lambda t: t.update(logit_bias=np.ones(2, np.float32)),
      r"logit_bias has shape \[2\]",
    ),
    (
      "SiglipVisionModel",
      lambda t: t.update({FUSED: t[FUSED][:-1]}),
      "in_proj_weight has shape .*expected 3 equal parts",
    ),
    (
      "CLIPVisionModelWithProjection",
      lambda t: t.update({"pre_layrnorm.bias": np.ones(8, np.float32)}),
      "are both vision_model.pre_layrnorm.bias",
    ),
  ],
)
def test_nothing_of_two_towers_passes_silently(kind, change, reason, tmp_path):
  with pytest.raises(UserError, match=reason):
    read(broken(tmp_path, change, kind))


@pytest.mark.parametrize(
  "change, reason",
  [
    (lambda t: t.update(extra=np.zeros(2, np.float32)), "unknown tensors bert.extra"),
    (lambda t: t.pop("cls.predictions.bias"), "missing tensors cls.predictions.bias"),
    (lambda t: t.pop("bert.encoder.layer.1.output.dense.bias"), "missing tensors .*layer.1.output"),
    (lambda t: t.update({TABLE: t[TABLE].T.copy()}), r"token_embedding \[6, 11\], expected"),
    (lambda t: t.update({TABLE: t[TABLE] * np.nan}), "not finite"),
    (
      lambda t: t.update({TABLE.removeprefix("bert."): t[TABLE]}),
      f"tensors .* are both {TABLE}",
    ),
    (
      lambda t: t.update({"cls.predictions.decoder.weight": t[TABLE] + 1}),
      "decoder.weight is not tied to",
    ),
  ],
)
def test_nothing_missing_or_left_over_passes_silently(change, reason, tmp_path):
  with pytest.raises(UserError, match=reason):
    read(broken(tmp_path, change))


def test_tied_tensors_may_be_there_twice_or_once(tmp_path):
  def twice(tensors):
    tensors["cls.predictions.decoder.weight"] = tensors[TABLE]

  def renamed(tensors):
    tensors["cls.predictions.decoder.weight"] = tensors.pop(TABLE)

  expected = their_folders.tensors_of("BertForMaskedLM")[TABLE]
  for name, change in (("twice", twice), ("renamed", renamed)):
    module = read(broken(tmp_path / name, change)).module
    np.testing.assert_array_equal(module.encoder.token_embedding[...], expected)


def test_what_other_objectives_had_is_left_behind_with_a_line(tmp_path, caplog):
  def published(tensors):
    tensors["cls.seq_relationship.bias"] = np.zeros(2, np.float32)
    tensors["bert.pooler.dense.bias"] = np.zeros(6, np.float32)

  read(broken(tmp_path, published))
  assert "left behind" in caplog.text and "cls.seq_relationship.bias" in caplog.text


def test_names_of_older_and_newer_versions(tmp_path):
  def tensorflow(tensors):
    for name in [n for n in tensors if "LayerNorm" in n]:
      new = name.replace("LayerNorm.weight", "LayerNorm.gamma")
      tensors[new.replace("LayerNorm.bias", "LayerNorm.beta")] = tensors.pop(name)

  def version_5(tensors):
    for name in list(tensors):
      new = name.replace("encoder.layer.", "layers.").replace("intermediate.dense", "mlp.fc1")
      tensors[new] = tensors.pop(name)

  bert = their_folders.make(tmp_path / "bert")
  _same(read(bert), read(broken(tmp_path / "tf", tensorflow)))
  vit = their_folders.make(tmp_path / "vit", "ViTModel")
  _same(read(vit), read(broken(tmp_path / "v5", version_5, "ViTModel")))


def _same(one, other):
  leaves = zip(jax.tree.leaves(one.module), jax.tree.leaves(other.module), strict=True)
  for first, second in leaves:
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
  "changes, reason",
  [
    ({"hidden_size": 8}, "expected"),
    ({"hidden_size": 2**31}, "hidden_size: found 2147483648"),
    ({"hidden_size": -6}, "hidden_size: found -6"),
    ({"hidden_size": 2**30}, "expected"),
    ({"num_hidden_layers": 10**9}, "makes no model|expected"),
    ({"num_hidden_layers": 3}, "expected"),
    ({"num_attention_heads": 4}, "makes no model"),
    ({"vocab_size": 12}, r"token_embedding \[11, 6\], expected \[12, 6\]"),
    ({"hidden_act": "os.system"}, "hidden_act: found 'os.system'"),
    ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
    ({"is_decoder": True}, "is_decoder: found True"),
    ({"tie_word_embeddings": False}, "tie_word_embeddings: found False"),
    ({"architectures": ["os.system"]}, "architectures: found"),
    ({"auto_map": {"AutoModel": "modeling.Model"}}, "auto_map: found"),
    ({"layer_norm_eps": "0"}, "layer_norm_eps: found '0'"),
  ],
)
def test_a_config_that_lies_is_refused_in_one_line(changes, reason, tmp_path):
  with pytest.raises(UserError, match=reason) as caught:
    read(their_folders.make(tmp_path, **changes))
  assert "\n" not in str(caught.value)


def inner(name, **changes):
  """Changes of what config.json says of one tower."""
  return lambda config: {name: config[name] | changes}


@pytest.mark.parametrize(
  "kind, change, reason",
  [
    ("CLIPModel", inner("vision_config", hidden_size=12), "expected"),
    ("CLIPModel", inner("text_config", num_hidden_layers=3), "expected"),
    ("CLIPModel", inner("text_config", model_type="bert"), "text_config: model_type: found 'bert'"),
    ("CLIPModel", inner("text_config", eos_token_id=[2, 3]), r"eos_token_id: found \[2, 3\]"),
    ("CLIPModel", inner("text_config", vocab_size=-1), "text_config: vocab_size: found -1"),
    ("CLIPModel", inner("vision_config", image_size=[7, 7]), "image_size: found"),
    ("CLIPModel", inner("vision_config", patch_size=8), "makes no model"),
    ("CLIPModel", lambda _: {"vision_config": 3}, "vision_config: found 3, expected a dictionary"),
    ("CLIPModel", lambda _: {"projection_dim": 6}, "expected"),
    ("CLIPModel", lambda _: {"projection_dim": None}, r"expected \[8, 512\]"),
    ("CLIPModel", lambda _: {"logit_scale_init_value": "1"}, "logit_scale_init_value: found '1'"),
    ("SiglipModel", inner("vision_config", vision_use_head=False), "vision_use_head: found False"),
    (
      "SiglipModel",
      inner("text_config", projection_size=5),
      "projection_size: found 5, expected 8",
    ),
    ("SiglipModel", inner("text_config", pad_token_id=11), "fill_id=11: expected a token below"),
    ("SiglipVisionModel", lambda _: {"vision_use_head": False}, "unknown tensors .*head"),
    ("SiglipTextModel", lambda _: {"model_type": "clip_text_model"}, "model_type: found"),
  ],
)
def test_a_config_of_two_towers_that_lies_is_refused_in_one_line(kind, change, reason, tmp_path):
  tensors, config = their_folders.tensors_of(kind), their_folders.CONFIGS[kind]
  folder = their_folders.make(tmp_path, kind, tensors=tensors, **change(config))
  with pytest.raises(UserError, match=reason) as caught:
    read(folder)
  assert "\n" not in str(caught.value)


def test_files_that_are_no_config_are_refused(tmp_path):
  with pytest.raises(UserError, match="config.json is missing"):
    read(tmp_path)
  (tmp_path / "config.json").write_text("[]")
  with pytest.raises(UserError, match="is no dictionary"):
    read(tmp_path)
  (tmp_path / "config.json").unlink()
  os.symlink("/etc/passwd", tmp_path / "config.json")
  with pytest.raises(UserError, match="leads out of"):
    read(tmp_path)


def test_pooling_of_sentence_transformers_and_scaling_of_images(tmp_path):
  folder = their_folders.make(tmp_path / "text", "BertModel")
  (folder / "1_Pooling").mkdir()
  (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
  assert read(folder).module.encoder.pool == "mean"
  folder = their_folders.make(tmp_path / "images", "ViTModel")
  facts = {"image_mean": [0.1, 0.2], "image_std": [0.3, 0.4]}
  (folder / "preprocessor_config.json").write_text(json.dumps(facts))
  encoder = read(folder).module.encoder
  assert (encoder.image_mean, encoder.image_std) == ((0.1, 0.2), (0.3, 0.4))


def test_a_read_only_folder_is_read(tmp_path):
  folder = their_folders.make(tmp_path / "model")
  for path in (*folder.iterdir(), folder):
    path.chmod(0o555)
  try:
    assert read(folder).kind == "BertForMaskedLM"
  finally:
    folder.chmod(0o755)
