"""Ours against T5ForConditionalGeneration: same weights, same texts, same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from their_tensors import networks, ours, read, theirs
from transformers_models import close, gradients_of, jit, load, randomised, trees_close

from pretrainjax.config.objects import recipe
from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.models.t5 import T5Decoder, T5Encoder
from pretrainjax.types import Text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
# Odd sizes on purpose, and rows longer than the buckets that hold one distance.
VOCAB, LENGTH, TARGET, WIDTH = 37, 27, 19, 15
SIZES = {"vocab_size": VOCAB, "embed_dim": WIDTH, "num_layers": 3, "num_heads": 3}
SIZES |= {"head_dim": 7, "mlp_dim": 22}


KIND = "T5ForConditionalGeneration"


def recipes_of(tied):
  return {"backbone": recipe(T5Encoder, **SIZES), "decoder": recipe(T5Decoder, **SIZES, tied=tied)}


def hf_config(tied):
  return transformers.T5Config(
    vocab_size=VOCAB,
    d_model=WIDTH,
    d_kv=SIZES["head_dim"],
    d_ff=SIZES["mlp_dim"],
    num_layers=SIZES["num_layers"],
    num_heads=SIZES["num_heads"],
    dropout_rate=0.0,
    layer_norm_epsilon=1e-6,
    feed_forward_proj="gated-gelu",
    tie_word_embeddings=tied,
    decoder_start_token_id=0,
    pad_token_id=0,
    eos_token_id=1,
  )


def texts():
  """Rows that are full, padded on the right, and padded on the left; targets, some ignored."""
  rng = np.random.default_rng(1)
  segments = np.ones((3, LENGTH), np.int32)
  segments[1, 20:], segments[2, :9] = 0, 0
  tokens = np.where(segments > 0, rng.integers(2, VOCAB, segments.shape), 0).astype(np.int32)
  targets = rng.integers(2, VOCAB, (3, TARGET)).astype(np.int32)
  scored = np.arange(TARGET)[None] < np.array([[TARGET], [11], [15]])
  return Text(tokens, segments), targets, scored


def hidden_of(module, text, before):
  table = jnp.asarray(module.encoder.token_embedding[...])
  context = module.encoder.sequence(text)
  hidden = module.decoder(
    jnp.asarray(before), context, valid=jnp.asarray(text.segments > 0), table=table
  )
  return hidden, module.decoder.scores_table(table)


@pytest.mark.parametrize("tied", [False, True])
def test_t5_equals_transformers(tied, tmp_path):
  recipes = recipes_of(tied)
  graphdef, params = randomised(networks(recipes))
  model = load(tmp_path, KIND, hf_config(tied), theirs(KIND, params, recipes))
  text, targets, scored = texts()
  # transformers starts the decoder with decoder_start and puts the padding where labels are -100.
  before = np.pad(np.where(scored, targets, 0)[:, :-1], ((0, 0), (1, 0)))
  output = model(
    input_ids=torch.from_numpy(text.tokens).long(),
    attention_mask=torch.from_numpy(text.segments).long(),
    labels=torch.from_numpy(np.where(scored, targets, -100)).long(),
  )
  output.loss.backward()

  def logits(params):
    hidden, table = hidden_of(nnx.merge(graphdef, params), text, before)
    return jnp.einsum("bsd,vd->bsv", hidden, table)

  def loss(params):
    hidden, table = hidden_of(nnx.merge(graphdef, params), text, before)
    return vocabulary_loss(
      hidden.reshape(-1, WIDTH),
      table,
      jnp.asarray(targets).reshape(-1),
      weights=token_weights(jnp.asarray(scored)).reshape(-1),
      chunk_size=8,
    ).loss

  close(jit(logits)(params), output.logits.detach().numpy(), "logits")
  value, gradients = jit(jax.value_and_grad(loss))(params)
  close(value, output.loss.item(), "loss")
  found = gradients_of(model)
  if tied:  # named once, whatever its copies are called
    found.pop("lm_head.weight", None)
  trees_close(gradients, ours(KIND, found, recipes))


def test_their_weights_come_back_from_their_own_file(tmp_path):
  """Tied only: transformers 5 makes no untied model anew whose two inputs share their table."""
  model = transformers.T5ForConditionalGeneration(hf_config(True)).eval()
  model.save_pretrained(tmp_path)
  module, params = read(tmp_path)
  _, expected = randomised(networks(recipes_of(True)))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected)
  text, targets, _ = texts()
  with torch.no_grad():
    logits = model(
      input_ids=torch.from_numpy(text.tokens).long(),
      attention_mask=torch.from_numpy(text.segments).long(),
      decoder_input_ids=torch.from_numpy(targets).long(),
    ).logits.numpy()
  hidden, table = hidden_of(module, text, targets)
  close(jnp.einsum("bsd,vd->bsv", hidden, table), logits, "logits")
