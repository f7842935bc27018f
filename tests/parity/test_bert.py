"""Ours against BertForMaskedLM and RobertaForMaskedLM: same weights, same text, same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from their_tensors import networks, ours, read, same, theirs
from transformers_models import close, gradients_of, jit, load, randomised, trees_close

from pretrainjax.config.objects import recipe
from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.models.bert import BERT
from pretrainjax.models.layers.scope import positions_of
from pretrainjax.models.lm_head import MaskedLMHead
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
  "bert": dict(kind="BertForMaskedLM", eps=1e-12, num_types=2, layers=3),
  "roberta": dict(kind="RobertaForMaskedLM", eps=1e-5, num_types=1, layers=2),
}
PAD = {"bert": 0, "roberta": 1}


def recipes_of(family, **changes):
  facts = FAMILIES[family]
  arguments = {"num_layers": facts["layers"], "eps": facts["eps"], "num_types": facts["num_types"]}
  return {
    "backbone": recipe(BERT, **SIZES, **arguments, **changes),
    "head": recipe(MaskedLMHead, embed_dim=WIDTH, vocab_size=VOCAB, eps=facts["eps"]),
  }


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
  kind, recipes = FAMILIES[family]["kind"], recipes_of(family)
  graphdef, params = randomised(networks(recipes))
  model = load(tmp_path, kind, hf_config(family), theirs(kind, params, recipes))
  text = padded_text(family)
  rng = np.random.default_rng(2)
  labels = jnp.asarray(rng.integers(0, VOCAB, POSITIONS.shape))
  scored = jnp.asarray([[True] * 3, [True, True, False], [True] * 3])
  their_labels = np.full(text.tokens.shape, -100)
  for row, column in np.argwhere(np.asarray(scored)):
    their_labels[row, POSITIONS[row, column]] = labels[row, column]
  output = model(**their_arguments(text), labels=torch.from_numpy(their_labels).long())
  output.loss.backward()

  def logits(params):
    module = nnx.merge(graphdef, params)
    return module.head(module.encoder.sequence(text), module.encoder.token_embedding[...])

  present = text.segments > 0
  close(jit(logits)(params)[present], output.logits.detach().numpy()[present], "logits")
  value = jit(jax.value_and_grad(our_loss(graphdef, text, labels, scored)))
  loss, gradients = value(params)
  close(loss, output.loss.item(), "loss")
  trees_close(gradients, ours(kind, gradients_of(model), recipes))


@pytest.mark.parametrize("family", FAMILIES)
def test_their_weights_come_back_from_their_own_file(family, tmp_path):
  kind = FAMILIES[family]["kind"]
  model = getattr(transformers, kind)(hf_config(family)).eval()
  model.save_pretrained(tmp_path)
  module, params = read(tmp_path)
  recipes = recipes_of(family, position_offset=2 if family == "roberta" else 0)
  in_memory = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
  same(params, ours(kind, in_memory, recipes))
  _, expected = randomised(networks(recipes))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected)
  text = padded_text(family)
  with torch.no_grad():
    logits = model(**their_arguments(text)).logits.numpy()
  found = module.head(module.encoder.sequence(text), module.encoder.token_embedding[...])
  close(found[text.segments > 0], logits[text.segments > 0], "logits")


@pytest.mark.parametrize("family", FAMILIES)
def test_encoders_alone_equal_their_models(family, tmp_path):
  kind = FAMILIES[family]["kind"].replace("ForMaskedLM", "Model")
  recipes = {"backbone": recipes_of(family)["backbone"]}
  graphdef, params = randomised(networks(recipes))
  tensors = theirs(kind, params, recipes)
  model = load(tmp_path, kind, hf_config(family), tensors, add_pooling_layer=False)
  text = padded_text(family)
  with torch.no_grad():
    tokens = model(**their_arguments(text)).last_hidden_state.numpy()
  present = text.segments > 0
  close(nnx.merge(graphdef, params).encoder.sequence(text)[present], tokens[present], "tokens")
  same(ours(kind, tensors, recipes), params)
