"""Folders as transformers writes them, made without it: tiny models of random values."""

import json

import numpy as np

from pretrainjax.convert.family import Tokens, family_of
from pretrainjax.convert.fields import Fields
from pretrainjax.convert.safetensors import write

BERT = {
  "vocab_size": 11,
  "hidden_size": 6,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 10,
  "max_position_embeddings": 7,
}
LLAMA = {
  "vocab_size": 11,
  "hidden_size": 8,
  "num_hidden_layers": 3,
  "num_attention_heads": 2,
  "num_key_value_heads": 1,
  "intermediate_size": 10,
  "max_position_embeddings": 7,
}
DINOV2 = {
  "image_size": 6,
  "patch_size": 3,
  "num_channels": 2,
  "hidden_size": 8,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
}
VISION = {
  "image_size": 7,
  "patch_size": 3,
  "num_channels": 2,
  "hidden_size": 8,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 10,
}
TEXT = {
  "vocab_size": 11,
  "max_position_embeddings": 7,
  "hidden_size": 6,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 10,
}
WAV2VEC2 = {
  "hidden_size": 6,
  "num_hidden_layers": 2,
  "num_attention_heads": 2,
  "intermediate_size": 10,
  "conv_dim": [4, 5],
  "conv_kernel": [10, 3],
  "conv_stride": [5, 2],
  "num_conv_pos_embeddings": 4,
  "num_conv_pos_embedding_groups": 2,
}
WHISPER = {
  "d_model": 8,
  "vocab_size": 11,
  "num_mel_bins": 5,
  **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
  **{f"{side}_attention_heads": 2 for side in ("encoder", "decoder")},
  **{f"{side}_ffn_dim": 10 for side in ("encoder", "decoder")},
  "max_source_positions": 6,
  "max_target_positions": 7,
  "decoder_start_token_id": 3,
  "eos_token_id": 2,
  "pad_token_id": 1,
}
CONFIGS = {
  "BertForMaskedLM": BERT | {"model_type": "bert"},
  "BertForSequenceClassification": BERT | {"model_type": "bert"},
  "BertModel": BERT | {"model_type": "bert"},
  "CLIPModel": {
    "model_type": "clip",
    "vision_config": VISION | {"model_type": "clip_vision_model"},
    "text_config": TEXT | {"model_type": "clip_text_model", "eos_token_id": 9},
    "projection_dim": 5,
  },
  "CLIPTextModelWithProjection": TEXT
  | {"model_type": "clip_text_model", "eos_token_id": 2, "projection_dim": 5},
  "CLIPVisionModelWithProjection": VISION
  | {"model_type": "clip_vision_model", "projection_dim": 5},
  "GPT2LMHeadModel": {
    "model_type": "gpt2",
    "vocab_size": 11,
    "n_positions": 7,
    "n_embd": 6,
    "n_layer": 2,
    "n_head": 2,
  },
  "ResNetModel": {
    "model_type": "resnet",
    "num_channels": 2,
    "embedding_size": 3,
    "hidden_sizes": [4, 5],
    "depths": [1, 2],
    "layer_type": "bottleneck",
  },
  "SiglipModel": {
    "model_type": "siglip",
    "vision_config": VISION | {"model_type": "siglip_vision_model"},
    "text_config": TEXT | {"model_type": "siglip_text_model", "projection_size": 8},
  },
  "SiglipTextModel": TEXT | {"model_type": "siglip_text_model", "projection_size": 5},
  "SiglipVisionModel": VISION | {"model_type": "siglip_vision_model", "vision_use_head": True},
  "ViTModel": {
    "model_type": "vit",
    "image_size": 6,
    "patch_size": 3,
    "num_channels": 2,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 10,
    "pooler_output_size": 8,
  },
}


def config_of(kind, **changes):
  """The content of a config.json; None takes a key out."""
  found = {"architectures": [kind]} | CONFIGS[kind] | changes
  return {key: value for key, value in found.items() if value is not None}


def tensors_of(kind, **changes):
  """Random tensors of a model by their names."""
  fields = Fields(config_of(kind, **changes))
  family, _ = family_of(fields)
  recipes = family.read_config(fields, kind)
  table = family.table(recipes, kind, Tokens())
  rng = np.random.default_rng(0)
  return {
    table.written(name): rng.normal(size=shape).astype(np.float32)
    for name, shape in _shapes(recipes, table).items()
  }


def _shapes(recipes, table):
  from pretrainjax.config.objects import build, spec
  from pretrainjax.convert.table import flatten, plan
  from pretrainjax.objectives.imported import Imported, ImportedTowers
  from pretrainjax.objectives.split import abstract_split

  networks = Imported if "backbone" in recipes else ImportedTowers
  _, params, extras = abstract_split(build(spec(networks, **recipes)))
  leaves = flatten(params) | flatten(extras)
  hollow = {path: np.broadcast_to(np.float32(0), leaf.shape) for path, leaf in leaves.items()}
  shapes = {path: leaf.shape for path, leaf in hollow.items()}
  return {one.name: one.shape(hollow.__getitem__) for one in plan(table.rules, shapes)}


def make_other(folder, kind, *, tokenizer=None, **changes):
  """Writes a folder of other sizes, and perhaps its tokenizer."""
  make(folder, kind, tensors=tensors_of(kind, **changes), **changes)
  if tokenizer is not None:
    (folder / "tokenizer.json").write_text(tokenizer.text)
  return folder


def make(folder, kind="BertForMaskedLM", *, tensors=None, dtype="F32", shards=5 * 10**9, **changes):
  """Writes a folder; `changes` of its config.json."""
  folder.mkdir(parents=True, exist_ok=True)
  tensors = tensors_of(kind) if tensors is None else tensors
  shapes = {name: tensor.shape for name, tensor in tensors.items()}
  write(folder, shapes, tensors.__getitem__, dtype=dtype, max_shard_size=shards)
  (folder / "config.json").write_text(json.dumps(config_of(kind, **changes)))
  return folder
