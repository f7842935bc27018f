"""Tensors of other libraries: our nested dict, or one line."""

import jax
import numpy as np
import pytest
import their_folders
from flax import nnx
from hypothesis import strategies as st
from rounds import both, fuzz, result_or_line

from pretrainjax.convert import (
  bert,
  family,
  gpt2,
  llama,
  modern_bert,
  roberta,
  t5,
  table,
  vit,
  vit_mae,
)
from pretrainjax.convert.fields import Fields
from pretrainjax.models.bert import BERT
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.gpt import GPT
from pretrainjax.models.llama import Llama
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.modern_bert import ModernBERT
from pretrainjax.models.t5 import T5Decoder, T5Encoder
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.split import split

SIZES = {"embed_dim": 4, "num_layers": 2, "num_heads": 2, "mlp_dim": 6}
TEXT = {**SIZES, "vocab_size": 7, "max_length": 5}


def made(model) -> dict:
  """Parameters of a model, all different."""
  rng = np.random.default_rng(0)
  shapes = split(nnx.eval_shape(model))[1]
  return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)


def masked(encoder) -> dict:
  def model():
    rngs = nnx.Rngs(0)
    head = MaskedLMHead(embed_dim=4, vocab_size=7, rngs=rngs)
    return Towers(encoder=encoder(rngs=rngs), head=head)

  return made(model)


def autoencoder() -> dict:
  def model():
    rngs = nnx.Rngs(0)
    encoder = ViT(image_size=8, patch_size=4, **SIZES, rngs=rngs)
    sizes = {"grid": encoder.grid, "patch_dim": encoder.patch_dim, "encoder_dim": 4}
    return Towers(encoder=encoder, decoder=MAEDecoder(**sizes, **SIZES, rngs=rngs))

  return made(model)


def t5_pair() -> dict:
  def model():
    rngs = nnx.Rngs(0)
    sizes = {key: TEXT[key] for key in TEXT if key != "max_length"} | {"head_dim": 2}
    return Towers(encoder=T5Encoder(**sizes, rngs=rngs), decoder=T5Decoder(**sizes, rngs=rngs))

  return made(model)


def tower(kind: str) -> tuple:
  """The tensors of one of two towers, or of both, and what its table makes of them."""
  fields = Fields(their_folders.config_of(kind))
  found, _ = family.family_of(fields)
  rules = found.table(found.read_config(fields, kind), kind, family.Tokens()).rules
  return their_folders.tensors_of(kind), lambda tensors: table.to_ours(rules, tensors)


# Tensors of each library's model, and what reads them.
MODELS = {
  "gpt2": lambda: (gpt2.to_hf(made(lambda: GPT(**TEXT, rngs=nnx.Rngs(0)))), gpt2.from_hf),
  "llama": lambda: (
    llama.to_hf(made(lambda: Llama(**TEXT, num_kv_heads=1, rngs=nnx.Rngs(0)))),
    lambda tensors: llama.from_hf(tensors, tied=False),
  ),
  "bert": lambda: (
    bert.to_hf(masked(lambda rngs: BERT(**TEXT, num_types=2, rngs=rngs))),
    bert.from_hf,
  ),
  "roberta": lambda: (
    roberta.to_hf(masked(lambda rngs: BERT(**TEXT, num_types=1, rngs=rngs))),
    roberta.from_hf,
  ),
  "modern_bert": lambda: (
    modern_bert.encoder_to_hf(made(lambda: ModernBERT(**TEXT, rngs=nnx.Rngs(0)))),
    modern_bert.encoder_from_hf,
  ),
  "t5": lambda: (t5.to_hf(t5_pair()), t5.from_hf),
  "clip": lambda: tower("CLIPModel"),
  "siglip": lambda: tower("SiglipModel"),
  "vit": lambda: (
    vit.to_hf(
      made(lambda: ViT(image_size=8, patch_size=4, **SIZES, rngs=nnx.Rngs(0))), grid=(2, 2)
    ),
    vit.from_hf,
  ),
  "vit_mae": lambda: (vit_mae.to_hf(autoencoder(), grid=(2, 2)), vit_mae.from_hf),
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


@pytest.mark.parametrize("name", MODELS)
@both(2000)
def test_tensors(name, cases):
  tensors, read = MODELS[name]()
  whole = read(tensors)
  names = sorted(tensors)

  def check(edits):
    changed = dict(tensors)
    for kind, place, array, number in edits:
      old = names[place % len(names)]
      if kind == "drop":
        changed.pop(old, None)
      elif kind == "array":
        changed[old] = array
      elif kind == "shape" and old in changed:
        changed[old] = np.reshape(np.asarray(changed[old], object), -1)[: number % 7]
      elif kind == "name" and old in changed:
        new = "".join(str(number) if c.isdigit() else c for c in old)
        changed[new + ("x" if number % 2 else "")] = changed.pop(old)
    found = result_or_line(lambda: read(changed))
    if found is not None:
      # T5 without a table of its own for the output is another model, and a fine one.
      least = len(jax.tree.leaves(whole)) - (name == "t5")
      assert least <= len(jax.tree.leaves(found)) <= len(jax.tree.leaves(whole))
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
