import pytest
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.config.objects import build, recipe, spec
from pretrainjax.convert.family import class_for
from pretrainjax.errors import UserError
from pretrainjax.export.networks import networks_of
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.masked.electra import Electra
from pretrainjax.objectives.masked.masked_lm import MaskedLM

SIZES = {"vocab_size": 11, "max_length": 7, "num_layers": 1, "num_heads": 2, "mlp_dim": 4}


def loaded(objective):
  made = build(objective)
  module = made.init(rngs=nnx.Rngs(0))
  return Loaded(ConfigDict({"objective": objective}), made, module, 3)


def masked():
  head = recipe(MaskedLMHead, embed_dim=6, vocab_size=11)
  return spec(MaskedLM, backbone=recipe(BERT, embed_dim=6, **SIZES), head=head)


def electra():
  generator = recipe(BERT, embed_dim=4, embedding_dim=6, **SIZES)
  return spec(
    Electra,
    backbone=recipe(BERT, embed_dim=6, **SIZES),
    generator=generator,
    head=recipe(MaskedLMHead, embed_dim=4, embedding_dim=6, vocab_size=11),
    detector=recipe(Head, in_dim=6, num_classes=1, hidden_dim=6, activation="gelu"),
  )


def test_all_networks_or_one():
  run = loaded(masked())
  whole = networks_of(run, None)
  assert {path.split("/")[0] for path in whole.params} == {"encoder", "head"}
  assert whole.recipes["mask_rate"] == 0.15
  part = networks_of(run, "encoder")
  assert set(part.recipes) == {"backbone"} and set(part.modules) == {"encoder"}
  with pytest.raises(UserError, match="has no part 'hed'; did you mean 'head'"):
    networks_of(run, "hed")


def test_electra_is_two_models():
  run = loaded(electra())
  assert class_for(networks_of(run, None).recipes)[1] == "ElectraForPreTraining"
  generator = networks_of(run, "generator")
  assert class_for(generator.recipes)[1] == "ElectraForMaskedLM"
  assert "encoder/token_embedding" in generator.params and "head/bias" in generator.params
