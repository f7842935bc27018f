import numpy as np
import pytest
from fake_texts import TinyText, word_tokenizer
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.errors import UserError
from pretrainjax.models.mlp import MLP
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.predict import embedding
from pretrainjax.predict.embedding import (
  embed_texts,
  padded,
  row_length,
  tokenizer_of,
  with_begin_and_end,
)


def test_features_are_those_of_each_text_alone_in_order():
  rng = np.random.default_rng(0)
  texts = [rng.integers(5, 20, n).tolist() for n in rng.integers(1, 17, 23)]
  encoder = TinyText(rngs=nnx.Rngs(0))
  found = embed_texts(encoder, texts, batch_size=4)
  alone = [encoder(padded([t], length=16)).pooled[0] for t in texts]
  np.testing.assert_allclose(found, alone, atol=1e-5)


def test_few_lengths_are_compiled():
  assert [row_length(n, longest=100) for n in (1, 16, 17, 64, 65, 100)] == [
    16,
    16,
    32,
    64,
    100,
    100,
  ]
  assert row_length(200, longest=None) == 256
  encoder = TinyText(vocab_size=21, rngs=nnx.Rngs(0))
  before = embedding.pooled._cache_size()
  embed_texts(encoder, [[5] * n for n in range(1, 17)], batch_size=3)
  embed_texts(encoder, [[6, 7]], batch_size=3)
  assert embedding.pooled._cache_size() == before + 1


def test_texts_are_wrapped_as_in_training_and_cut():
  tokenizer = word_tokenizer("a b c")
  tokens = tokenizer.encode("a b c")
  assert with_begin_and_end(tokens, tokenizer, length=None) == [2, 5, 6, 7, 3]
  assert with_begin_and_end(tokens, tokenizer, length=4) == [2, 5, 6, 3]
  assert with_begin_and_end([], tokenizer, length=4) == [2, 3]


def test_an_encoder_of_something_else_is_refused(tmp_path):
  encoder = TinyText(vocab_size=8, rngs=nnx.Rngs(0))

  def loaded(encoder):
    return Loaded(ConfigDict(), Objective(), Towers(encoder=encoder), 1, tmp_path)

  with pytest.raises(UserError, match="has no tokenizer.json"):
    tokenizer_of(loaded(encoder))
  (tmp_path / "tokenizer.json").write_text(word_tokenizer("a b c").text)
  assert tokenizer_of(loaded(encoder)).vocab_size == 8
  with pytest.raises(UserError, match="holds a MLP, expected an encoder of text"):
    tokenizer_of(loaded(MLP(image_size=2, embed_dim=2, rngs=nnx.Rngs(0))))
  with pytest.raises(UserError, match="knows 4 tokens, but its tokenizer.json 8"):
    tokenizer_of(loaded(TinyText(vocab_size=4, rngs=nnx.Rngs(0))))
