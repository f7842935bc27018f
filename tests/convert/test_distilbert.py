import numpy as np
import pytest
import their_folders

from pretrainjax.checkpoint.encoder import load
from pretrainjax.config.objects import recipe
from pretrainjax.convert import bert, distilbert
from pretrainjax.convert.family import Tokens, class_for
from pretrainjax.convert.fields import Fields
from pretrainjax.errors import UserError
from pretrainjax.models.heads import Head

CONFIG = {
  "vocab_size": 11,
  "dim": 6,
  "n_layers": 2,
  "n_heads": 2,
  "hidden_dim": 10,
  "max_position_embeddings": 7,
  "activation": "relu",
  "dropout": 0.25,
  "attention_dropout": 0.125,
  "initializer_range": 0.5,
}


@pytest.mark.parametrize("kind", distilbert.CLASSES)
def test_config_json_says_all_that_our_networks_are(kind):
  recipes = distilbert.read_config(Fields(CONFIG), kind)
  assert class_for(recipes)[:2] == (distilbert, kind)
  written = distilbert.write_config(recipes, kind, Tokens(pad=3))
  assert {name: written[name] for name in CONFIG} == CONFIG and written["pad_token_id"] == 3
  assert distilbert.read_config(Fields(written), kind) == recipes


def test_a_run_that_their_class_cannot_be_is_not_written_as_one():
  recipes = distilbert.read_config(Fields(CONFIG), "DistilBertModel")
  changes = ({"eps": 1e-5}, {"num_types": 2}, {"position_offset": 2}, {"order": "pre"})
  for change in (*changes, {"embedding_dim": 4}):
    backbone = recipes["backbone"].copy_and_resolve_references()
    with backbone.ignore_type():
      backbone.update(change)
    assert not distilbert.fits({"backbone": backbone}, "DistilBertModel"), change
  tanh = recipe(Head, in_dim=6, num_classes=2, hidden_dim=6)
  assert not distilbert.fits(recipes | {"head": tanh}, "DistilBertForSequenceClassification")
  assert not bert.fits(recipes, "BertModel")


def test_a_head_that_is_not_tied_and_a_tensor_too_many_are_refused(tmp_path, monkeypatch):
  kind = "DistilBertForMaskedLM"
  config = CONFIG | {"model_type": "distilbert"}
  monkeypatch.setitem(their_folders.CONFIGS, kind, config)
  tensors = their_folders.tensors_of(kind)
  table = tensors["distilbert.embeddings.word_embeddings.weight"]
  copied = tensors | {"vocab_projector.weight": table}
  found = load(f"hf:{their_folders.make(tmp_path / 'tied', kind, tensors=copied)}")
  np.testing.assert_array_equal(found.parts["encoder"].module.token_embedding[...], table)
  other = tensors | {"vocab_projector.weight": table + 1}
  with pytest.raises(UserError, match="vocab_projector.weight is not tied"):
    load(f"hf:{their_folders.make(tmp_path / 'untied', kind, tensors=other)}")
  more = tensors | {"distilbert.embeddings.token_type_embeddings.weight": table}
  with pytest.raises(UserError, match="unknown tensors distilbert.embeddings.token_type"):
    load(f"hf:{their_folders.make(tmp_path / 'more', kind, tensors=more)}")
