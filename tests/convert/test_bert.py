"""Parameters there and back; what is refused stands in test_folder.py and test_family.py."""

import numpy as np
import pytest
from their_tensors import noise, ours, same, theirs

from pretrainjax.config.objects import recipe
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Pooler
from pretrainjax.models.lm_head import MaskedLMHead

SIZES = {"vocab_size": 11, "max_length": 7, "embed_dim": 6, "num_layers": 3, "num_heads": 2}
BACKBONE = {"backbone": recipe(BERT, **SIZES, mlp_dim=10)}
MASKED = BACKBONE | {"head": recipe(MaskedLMHead, embed_dim=6, vocab_size=11)}
POOLED = BACKBONE | {"pooler": recipe(Pooler, embed_dim=6)}


@pytest.mark.parametrize(
  "kind, recipes",
  [("BertForMaskedLM", MASKED), ("BertModel", BACKBONE), ("BertModel", POOLED)],
)
def test_both_directions_are_inverse(kind, recipes):
  params = noise(recipes)
  same(ours(kind, theirs(kind, params, recipes), recipes), params)


def test_published_files_hold_more_than_is_wanted():
  params = noise(MASKED)
  tensors = theirs("BertForMaskedLM", params, MASKED)
  tensors["bert.pooler.dense.weight"] = np.zeros((6, 6), np.float32)
  tensors["cls.seq_relationship.bias"] = np.zeros(2, np.float32)
  tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
  same(ours("BertForMaskedLM", tensors, MASKED), params)
