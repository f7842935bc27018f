"""Ours against ElectraForPreTraining and ElectraForMaskedLM: same weights, same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from their_tensors import ours, read, same, theirs
from transformers_models import close, gradients_of, jit, load, randomised, trees_close

from pretrainjax.config.objects import build, recipe, spec
from pretrainjax.convert.electra import as_generator
from pretrainjax.convert.table import flatten
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
SHARED = {"vocab_size": VOCAB, "max_length": 13, "embedding_dim": TABLES}


def recipes_of(width):
  sizes = {"embed_dim": width, "num_layers": 3, "num_heads": 5, "mlp_dim": 22}
  hidden = {"hidden_dim": width, "activation": "gelu", "init_std": 0.02}
  return {
    "backbone": recipe(BERT, **sizes, **SHARED),
    "generator": recipe(BERT, **GENERATOR, **SHARED),
    "head": recipe(MaskedLMHead, embed_dim=6, embedding_dim=TABLES, vocab_size=VOCAB),
    "detector": recipe(Head, in_dim=width, num_classes=1, **hidden),
  }


def make_ours(width):
  return build(spec(Electra, **recipes_of(width))).init(rngs=nnx.Rngs(3))


def discriminator(width, params):
  """Class, parameters and recipes of the one model."""
  recipes = {name: recipes_of(width)[name] for name in ("backbone", "detector")}
  return "ElectraForPreTraining", {n: params[n] for n in ("encoder", "detector")}, recipes


def generator(width, params):
  """The same of the other."""
  recipes, flat = as_generator(recipes_of(width), params)
  return "ElectraForMaskedLM", flat, recipes


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
  kind, _, recipes = discriminator(width, params)
  model = load(tmp_path, kind, hf_config(width), theirs(*discriminator(width, params)))
  text = padded_text()
  labels = np.random.default_rng(2).integers(0, 2, text.tokens.shape)
  output = model(**their_arguments(text), labels=torch.from_numpy(labels).long())
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
  trees_close(gradients, ours(kind, gradients_of(model), recipes))


def test_the_generator_equals_transformers(tmp_path):
  width = WIDTHS["wider"]
  graphdef, params = randomised(make_ours(width))
  kind, _, recipes = generator(width, params)
  model = load(tmp_path, kind, hf_config(**GENERATOR_SIZE), theirs(*generator(width, params)))
  text = padded_text()
  labels = np.random.default_rng(2).integers(5, VOCAB, text.tokens.shape)
  labels[text.segments == 0] = -100
  output = model(**their_arguments(text), labels=torch.from_numpy(labels).long())
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
  _, flat, _ = generator(width, gradients)
  trees_close(flat, flatten(ours(kind, gradients_of(model), recipes)))


def test_both_come_back_from_their_own_files(tmp_path):
  width = WIDTHS["wider"]
  discriminating = transformers.ElectraForPreTraining(hf_config(width))
  generating = transformers.ElectraForMaskedLM(hf_config(**GENERATOR_SIZE))
  generating.electra.embeddings.load_state_dict(discriminating.electra.embeddings.state_dict())
  _, expected = randomised(make_ours(width))
  tables = []
  for model, part in ((discriminating, discriminator), (generating, generator)):
    kind, shapes, recipes = part(width, expected)
    model.save_pretrained(tmp_path / kind)
    _, params = read(tmp_path / kind)
    assert jax.tree.map(np.shape, flatten(params)) == jax.tree.map(np.shape, flatten(shapes))
    tensors = theirs(kind, params, recipes)
    for name, parameter in model.named_parameters():
      np.testing.assert_array_equal(tensors[name], parameter.detach().numpy())
    names = ("token_embedding", "position_table", "type_embedding", "embedding_norm")
    tables.append({name: params["encoder"][name] for name in names})
  same(*tables)
