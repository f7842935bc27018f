import numpy as np
import pytest
from their_tensors import noise, ours, same, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.convert.electra import as_generator
from pretrainjax.convert.table import flatten
from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.masked.electra import Electra

SIZES = {"vocab_size": 11, "max_length": 7, "num_layers": 2, "embedding_dim": 4}
BACKBONE = recipe(BERT, **SIZES, embed_dim=6, num_heads=2, mlp_dim=10)
DETECTOR = {"hidden_dim": 6, "activation": "gelu", "init_std": 0.02}
RECIPES = {
  "backbone": BACKBONE,
  "generator": recipe(BERT, **SIZES, embed_dim=2, num_heads=1, mlp_dim=5),
  "head": recipe(MaskedLMHead, embed_dim=2, embedding_dim=4, vocab_size=11),
  "detector": recipe(Head, in_dim=6, num_classes=1, **DETECTOR),
}
TABLE = "electra.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def params():
  return noise(RECIPES, objective=Electra)


def discriminator(params):
  """Class, parameters and recipes."""
  kept = {name: params[name] for name in ("encoder", "detector")}
  return "ElectraForPreTraining", kept, {n: RECIPES[n] for n in ("backbone", "detector")}


def generator(params):
  recipes, flat = as_generator(RECIPES, params)
  return "ElectraForMaskedLM", flat, recipes


def encoder(params):
  return "ElectraModel", {"encoder": params["encoder"]}, {"backbone": BACKBONE}


@pytest.mark.parametrize("part", [discriminator, generator, encoder])
def test_each_model_goes_there_and_back(part, params):
  kind, expected, recipes = part(params)
  found = ours(kind, theirs(kind, expected, recipes), recipes)
  same(flatten(found), flatten(expected))


def test_the_generator_takes_the_discriminators_tables_along(params):
  tables = [theirs(*part(params))[TABLE] for part in (generator, discriminator)]
  np.testing.assert_array_equal(*tables)
  np.testing.assert_array_equal(tables[0], params["encoder"]["token_embedding"])


def test_refuses_what_does_not_fit(params):
  kind, expected, recipes = discriminator(params)
  tensors = theirs(kind, expected, recipes)
  with pytest.raises(UserError, match="unknown tensors electra.extra"):
    ours(kind, tensors | {"electra.extra": np.zeros(1)}, recipes)
  kind, expected, recipes = generator(params)
  untied = {"generator_lm_head.weight": np.zeros((11, 4))}
  with pytest.raises(UserError, match="generator_lm_head.weight is not tied"):
    ours(kind, theirs(kind, expected, recipes) | untied, recipes)
