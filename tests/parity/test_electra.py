"""Ours against ElectraForPreTraining and ElectraForMaskedLM: same weights, same numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
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

from pretrainjax.convert import electra
from pretrainjax.losses.tokens import token_mean
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.models.layers.scope import positions_of
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.objectives.masked.electra import Electra
from pretrainjax.types import Text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
# Odd sizes on purpose; the discriminator once with a projection, once without.
VOCAB, LENGTH, TABLES = 37, 11, 10
WIDTHS = {"wider": 15, "as wide": TABLES}
GENERATOR = {"embed_dim": 6, "num_layers": 2, "num_heads": 2, "mlp_dim": 9}


def make_ours(width):
  shared = {"vocab_size": VOCAB, "max_length": 13, "embedding_dim": TABLES}
  objective = Electra(
    backbone=functools.partial(
      BERT, embed_dim=width, num_layers=3, num_heads=5, mlp_dim=22, **shared
    ),
    generator=functools.partial(BERT, **GENERATOR, **shared),
    head=functools.partial(MaskedLMHead, embed_dim=6, embedding_dim=TABLES, vocab_size=VOCAB),
    detector=functools.partial(
      Head, in_dim=width, num_classes=1, hidden_dim=width, activation="gelu", init_std=0.02
    ),
  )
  return objective.init(rngs=nnx.Rngs(3))


def hf_config(width, *, layers=3, heads=5, mlp=22):
  return transformers.ElectraConfig(
    vocab_size=VOCAB,
    embedding_size=TABLES,
    hidden_size=width,
    num_hidden_layers=layers,
    num_attention_heads=heads,
    intermediate_size=mlp,
    max_position_embeddings=13,
    layer_norm_eps=1e-12,
    hidden_act="gelu",
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
  )


GENERATOR_SIZE = dict(width=6, layers=2, heads=2, mlp=9)


def padded_text():
  """Rows that are full, padded on the right, and padded on the left."""
  rng = np.random.default_rng(1)
  segments = np.ones((3, LENGTH), np.int32)
  segments[1, 8:], segments[2, :4] = 0, 0
  tokens = np.where(segments > 0, rng.integers(5, VOCAB, segments.shape), 0).astype(np.int32)
  return Text(tokens, segments, rng.integers(0, 2, segments.shape).astype(np.int32))


def their_arguments(text):
  positions = np.asarray(positions_of(jnp.asarray(text.segments))) * text.segments
  names = {"input_ids": text.tokens, "attention_mask": text.segments}
  names |= {"token_type_ids": text.types, "position_ids": positions}
  return {name: torch.from_numpy(value).long() for name, value in names.items()}


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_discriminator_equals_transformers(width, tmp_path):
  graphdef, params = randomised(make_ours(width))
  tensors = electra.discriminator_to_hf(params)
  theirs = load(tmp_path, "ElectraForPreTraining", hf_config(width), tensors)
  text = padded_text()
  labels = np.random.default_rng(2).integers(0, 2, text.tokens.shape)
  output = theirs(**their_arguments(text), labels=torch.from_numpy(labels).long())
  output.loss.backward()
  present = text.segments > 0

  def our_loss(params):
    module = nnx.merge(graphdef, params)
    logits = module.detector(module.encoder.sequence(text))[..., 0]
    detection = optax.sigmoid_binary_cross_entropy(logits, jnp.asarray(labels, jnp.float32))
    return token_mean(detection, jnp.asarray(present, jnp.float32)), logits

  (loss, logits), gradients = jit(jax.value_and_grad(our_loss, has_aux=True))(params)
  close(logits[present], output.logits.detach().numpy()[present], "logits")
  close(loss, output.loss.item(), "loss")
  gradients = {name: gradients[name] for name in ("encoder", "detector")}
  trees_close(gradients, electra.discriminator_from_hf(gradients_of(theirs)))


def test_the_generator_equals_transformers(tmp_path):
  graphdef, params = randomised(make_ours(WIDTHS["wider"]))
  tensors = electra.generator_to_hf(params)
  theirs = load(tmp_path, "ElectraForMaskedLM", hf_config(**GENERATOR_SIZE), tensors)
  text = padded_text()
  labels = np.random.default_rng(2).integers(5, VOCAB, text.tokens.shape)
  labels[text.segments == 0] = -100
  output = theirs(**their_arguments(text), labels=torch.from_numpy(labels).long())
  output.loss.backward()
  present = jnp.asarray(text.segments > 0, jnp.float32)

  def our_loss(params):
    module = nnx.merge(graphdef, params)
    encoder = module.encoder
    x = module.generator.transform(encoder.embed(text), segments=text.segments)
    logits = module.head(x, encoder.token_embedding[...])
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
    return token_mean(loss, present), logits

  (loss, logits), gradients = jit(jax.value_and_grad(our_loss, has_aux=True))(params)
  close(logits[present > 0], output.logits.detach().numpy()[present > 0], "logits")
  close(loss, output.loss.item(), "loss")
  converted = electra.generator_from_hf(gradients_of(theirs))
  shared = ("token_embedding", "position_table", "type_embedding", "embedding_norm")
  tables = {name: gradients["encoder"][name] for name in shared}
  ours = {"encoder": {**tables, **gradients["generator"]}, "head": gradients["head"]}
  trees_close(ours, converted)


def test_both_come_back_from_their_own_files(tmp_path):
  width = WIDTHS["wider"]
  discriminator = transformers.ElectraForPreTraining(hf_config(width))
  generator = transformers.ElectraForMaskedLM(hf_config(**GENERATOR_SIZE))
  generator.electra.embeddings.load_state_dict(discriminator.electra.embeddings.state_dict())
  params = electra.from_hf(
    discriminator=saved(discriminator, tmp_path / "discriminator"),
    generator=saved(generator, tmp_path / "generator"),
  )
  _, expected = nnx.split(make_ours(width), nnx.Param)
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, nnx.to_pure_dict(expected))
  for model, convert in (
    (discriminator, electra.discriminator_to_hf),
    (generator, electra.generator_to_hf),
  ):
    tensors = convert(params)
    for name, parameter in model.named_parameters():
      np.testing.assert_array_equal(tensors[name], parameter.detach().numpy())
