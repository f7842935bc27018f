"""Tensors of other libraries: our nested dict, or one line."""

import jax
import numpy as np
import pytest
import their_folders
from hypothesis import strategies as st
from rounds import both, fuzz, result_or_line
from their_tensors import noise, reader, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.convert import table
from pretrainjax.convert.family import family_of
from pretrainjax.convert.fields import Fields
from pretrainjax.models.bert import BERT
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.gpt import GPT
from pretrainjax.models.llama import Llama
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.modern_bert import ModernBERT
from pretrainjax.models.t5 import T5Decoder, T5Encoder
from pretrainjax.models.vit import ViT

SIZES = {"embed_dim": 4, "num_layers": 2, "num_heads": 2, "mlp_dim": 6}
TEXT = {**SIZES, "vocab_size": 7, "max_length": 5}
T5 = {key: TEXT[key] for key in TEXT if key != "max_length"} | {"head_dim": 2}
IMAGE = {"image_size": 8, "patch_size": 4}
HEAD = recipe(MaskedLMHead, embed_dim=4, vocab_size=7)
DECODER = {"grid": (2, 2), "patch_dim": 4 * 4 * 3, "encoder_dim": 4}


def their_recipes(kind: str, **values) -> dict:
  """What makes the networks of a config.json, by default of the tests' own."""
  fields = Fields({"architectures": [kind]} | values if values else their_folders.config_of(kind))
  return family_of(fields)[0].read_config(fields, kind)


# Classes, and what makes their networks.
MODELS = {
  "GPT2LMHeadModel": {"backbone": recipe(GPT, **TEXT)},
  "LlamaForCausalLM": {"backbone": recipe(Llama, **TEXT, num_kv_heads=1)},
  "BertForMaskedLM": {"backbone": recipe(BERT, **TEXT), "head": HEAD},
  "RobertaForMaskedLM": {"backbone": recipe(BERT, **TEXT, num_types=1), "head": HEAD},
  "ModernBertModel": {"backbone": recipe(ModernBERT, **TEXT)},
  "T5ForConditionalGeneration": {
    "backbone": recipe(T5Encoder, **T5),
    "decoder": recipe(T5Decoder, **T5),
  },
  "ViTModel": {"backbone": recipe(ViT, **IMAGE, **SIZES, position="learned", cls_position=True)},
  "ViTMAEForPreTraining": {
    "backbone": recipe(ViT, **IMAGE, **SIZES),
    "decoder": recipe(MAEDecoder, **DECODER, **SIZES),
  },
  "CLIPModel": their_recipes("CLIPModel"),
  "SiglipModel": their_recipes("SiglipModel"),
  "Wav2Vec2Model": their_recipes("Wav2Vec2Model", model_type="wav2vec2", **their_folders.WAV2VEC2),
}
ARRAYS = (
  np.array(1, np.float32),
  np.zeros((0,), np.float32),
  np.zeros((3, 5), np.float32),
  np.full((4, 4), np.nan, np.float32),
  np.zeros((1, 1, 1, 1, 1), np.float32),
  np.array([None, "x"], object),
  np.array(["x"]),
)


@pytest.mark.parametrize("kind", MODELS)
@both(2000)
def test_tensors(kind, cases):
  recipes = MODELS[kind]
  tensors, read = theirs(kind, noise(recipes), recipes), reader(kind, recipes)
  whole = jax.tree.map(np.shape, read(tensors))
  names = sorted(tensors)

  def check(edits):
    changed = dict(tensors)
    for how, place, array, number in edits:
      old = names[place % len(names)]
      if how == "drop":
        changed.pop(old, None)
      elif how == "array":
        changed[old] = array
      elif how == "shape" and old in changed:
        changed[old] = np.reshape(np.asarray(changed[old], object), -1)[: number % 7]
      elif how == "name" and old in changed:
        new = "".join(str(number) if c.isdigit() else c for c in old)
        changed[new + ("x" if number % 2 else "")] = changed.pop(old)
    found = result_or_line(lambda: read(changed))
    if found is not None:
      assert jax.tree.map(np.shape, found) == whole
      assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(found))

  edit = st.tuples(
    st.sampled_from(["drop", "array", "shape", "name"]),
    st.integers(0, 1000),
    st.sampled_from(ARRAYS),
    st.integers(0, 10**12),
  )
  fuzz(check, st.lists(edit, min_size=1, max_size=3), cases=cases)


def test_a_table_of_nothing():
  assert table.to_ours((), {}) == {}
