"""Ours against BertForMaskedLM and RobertaForMaskedLM: same weights, same text, same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from transformers_models import (
  close,
  gradients_of,
  jit,
  load,
  randomised,
  saved,
  trees_close,
)

from pretrainjax.convert import bert, roberta
from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.models.bert import BERT
from pretrainjax.models.layers.scope import positions_of
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.masked.corruption import pick
from pretrainjax.types import Text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
# Odd sizes on purpose.
VOCAB, LENGTH, WIDTH = 37, 11, 15
SIZES = {"vocab_size": VOCAB, "max_length": 13, "embed_dim": WIDTH, "num_heads": 3, "mlp_dim": 22}
FAMILIES = {
  "bert": dict(table=bert, kind="BertForMaskedLM", eps=1e-12, num_types=2, layers=3),
  "roberta": dict(table=roberta, kind="RobertaForMaskedLM", eps=1e-5, num_types=1, layers=2),
}
PAD = {"bert": 0, "roberta": 1}


def make_ours(family):
  facts, rngs = FAMILIES[family], nnx.Rngs(3)
  encoder = BERT(
    **SIZES,
    num_layers=facts["layers"],
    eps=facts["eps"],
    num_types=facts["num_types"],
    rngs=rngs,
  )
  head = MaskedLMHead(embed_dim=WIDTH, vocab_size=VOCAB, eps=facts["eps"], rngs=rngs)
  return Towers(encoder=encoder, head=head)


def hf_config(family):
  facts = FAMILIES[family]
  kind = {"bert": transformers.BertConfig, "roberta": transformers.RobertaConfig}[family]
  return kind(
    vocab_size=VOCAB,
    hidden_size=WIDTH,
    num_hidden_layers=facts["layers"],
    num_attention_heads=SIZES["num_heads"],
    intermediate_size=SIZES["mlp_dim"],
    max_position_embeddings=SIZES["max_length"] + (2 if family == "roberta" else 0),
    type_vocab_size=facts["num_types"],
    layer_norm_eps=facts["eps"],
    hidden_act="gelu",
    pad_token_id=PAD[family],
    bos_token_id=2,
    eos_token_id=3,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
  )


def padded_text(family):
  """Rows that are full, padded on the right, and padded on the left."""
  rng = np.random.default_rng(1)
  segments = np.ones((3, LENGTH), np.int32)
  segments[1, 8:], segments[2, :4] = 0, 0
  tokens = np.where(segments > 0, rng.integers(5, VOCAB, segments.shape), PAD[family])
  types = rng.integers(0, 2, segments.shape) if FAMILIES[family]["num_types"] == 2 else None
  return Text(tokens.astype(np.int32), segments, None if types is None else types.astype(np.int32))


def their_arguments(text):
  arguments = {
    "input_ids": torch.from_numpy(text.tokens).long(),
    "attention_mask": torch.from_numpy(text.segments).long(),
  }
  if text.types is not None:
    # RoBERTa finds the positions by itself; BERT must be told where padding is on the left.
    positions = np.asarray(positions_of(jnp.asarray(text.segments))) * text.segments
    arguments["position_ids"] = torch.from_numpy(positions).long()
    arguments["token_type_ids"] = torch.from_numpy(text.types).long()
  return arguments


POSITIONS = np.array([[0, 5, 10], [7, 2, 3], [4, 10, 8]], np.int32)


def our_loss(graphdef, text, labels, scored):
  def loss(params):
    module = nnx.merge(graphdef, params)
    hidden = module.encoder.sequence(text)
    predicted = module.head.transform(pick(hidden, jnp.asarray(POSITIONS)))
    return vocabulary_loss(
      predicted.reshape(-1, WIDTH),
      module.encoder.token_embedding[...],
      labels.reshape(-1),
      weights=token_weights(scored.reshape(-1)),
      bias=module.head.bias[...],
      chunk_size=4,
    ).loss

  return loss


@pytest.mark.parametrize("family", FAMILIES)
def test_masked_lm_equals_transformers(family, tmp_path):
  table = FAMILIES[family]["table"]
  graphdef, params = randomised(make_ours(family))
  theirs = load(tmp_path, FAMILIES[family]["kind"], hf_config(family), table.to_hf(params))
  text = padded_text(family)
  rng = np.random.default_rng(2)
  labels = jnp.asarray(rng.integers(0, VOCAB, POSITIONS.shape))
  scored = jnp.asarray([[True] * 3, [True, True, False], [True] * 3])
  their_labels = np.full(text.tokens.shape, -100)
  for row, column in np.argwhere(np.asarray(scored)):
    their_labels[row, POSITIONS[row, column]] = labels[row, column]
  output = theirs(**their_arguments(text), labels=torch.from_numpy(their_labels).long())
  output.loss.backward()

  def logits(params):
    module = nnx.merge(graphdef, params)
    return module.head(module.encoder.sequence(text), module.encoder.token_embedding[...])

  present = text.segments > 0
  close(jit(logits)(params)[present], output.logits.detach().numpy()[present], "logits")
  value = jit(jax.value_and_grad(our_loss(graphdef, text, labels, scored)))
  loss, gradients = value(params)
  close(loss, output.loss.item(), "loss")
  trees_close(gradients, table.from_hf(gradients_of(theirs)))


@pytest.mark.parametrize("family", FAMILIES)
def test_their_weights_come_back_from_their_own_file(family, tmp_path):
  table = FAMILIES[family]["table"]
  theirs = getattr(transformers, FAMILIES[family]["kind"])(hf_config(family)).eval()
  in_memory = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
  params = table.from_hf(saved(theirs, tmp_path))
  jax.tree.map(np.testing.assert_array_equal, params, table.from_hf(in_memory))
  graphdef, expected = nnx.split(make_ours(family), nnx.Param)
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, nnx.to_pure_dict(expected))
  module, text = nnx.merge(graphdef, params), padded_text(family)
  with torch.no_grad():
    logits = theirs(**their_arguments(text)).logits.numpy()
  found = module.head(module.encoder.sequence(text), module.encoder.token_embedding[...])
  close(found[text.segments > 0], logits[text.segments > 0], "logits")


@pytest.mark.parametrize("family", FAMILIES)
def test_encoders_alone_equal_their_models(family, tmp_path):
  table, kind = FAMILIES[family]["table"], FAMILIES[family]["kind"].replace("ForMaskedLM", "Model")
  graphdef, params = randomised(make_ours(family).encoder)
  tensors = table.encoder_to_hf(params)
  theirs = load(tmp_path, kind, hf_config(family), tensors, add_pooling_layer=False)
  text = padded_text(family)
  with torch.no_grad():
    tokens = theirs(**their_arguments(text)).last_hidden_state.numpy()
  present = text.segments > 0
  close(nnx.merge(graphdef, params).sequence(text)[present], tokens[present], "tokens")
  jax.tree.map(np.testing.assert_array_equal, table.encoder_from_hf(tensors), params)
