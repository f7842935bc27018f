"""What is open in a config: None where the class wants a value, and nothing else."""

import binaries

from pretrainjax.config import recipe, spec
from pretrainjax.config.follow import Source, following, is_settled, scaled
from pretrainjax.config.text import load_config
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.masked.masked_lm import MaskedLM

TINY = {"embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 16, "patch_size": 4}


def open_keys(config) -> set[str]:
  return {argument.key for argument in following(config) if argument.is_open}


def test_none_is_open_only_where_a_value_is_wanted():
  head = recipe(MaskedLMHead, embed_dim=None, vocab_size=None)  # its embedding_dim may be None
  config = spec(MaskedLM, backbone=recipe(ViT, image_size=None, **TINY), head=head)
  assert open_keys(config) == {"backbone.image_size", "head.embed_dim", "head.vocab_size"}
  assert not is_settled(config) and is_settled(recipe(ViT, image_size=8, **TINY))


def test_parts_that_are_not_there_follow_nothing():
  config = spec(MaskedLM, backbone=recipe(ViT, image_size=8, **TINY), head=None)
  assert is_settled(config)


def test_every_place_of_a_whole_config_is_found():
  found = {argument.key: argument.sources for argument in following(load_config(binaries.MAE))}
  assert found["optimizer.learning_rate"] == scaled(
    "optimizer.base_learning_rate", times="data.batch_size", over=256.0
  )
  assert found["objective.backbone.image_size"] == (Source("data.transform.size"),)
  assert {"evals.knn.train.transform.size", "objective.decoder.grid"} <= set(found)
