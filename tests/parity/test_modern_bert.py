"""Ours against ModernBertForMaskedLM: same weights, same text, same numbers."""

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
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.modern_bert import ModernBERT
from pretrainjax.objectives.masked.corruption import pick
from pretrainjax.types import Text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
KIND = "ModernBertForMaskedLM"
# Odd sizes on purpose; layers 0 and 3 are global, in the second case 0, 2 and 4.
VOCAB, LENGTH, WIDTH = 37, 13, 18
SIZES = {
  "thirds": dict(num_layers=5, global_every=3, window=4, num_heads=3),
  "halves": dict(num_layers=5, global_every=2, window=6, num_heads=1),
}


def recipes_of(size):
  backbone = recipe(
    ModernBERT,
    vocab_size=VOCAB,
    max_length=32,
    embed_dim=WIDTH,
    mlp_dim=21,
    global_theta=900.0,
    local_theta=70.0,
    **size,
  )
  how = {"eps": 1e-5, "norm": "layer_scale", "use_bias": False}
  head = recipe(MaskedLMHead, embed_dim=WIDTH, vocab_size=VOCAB, **how)
  return {"backbone": backbone, "head": head}


def hf_config(size):
  return transformers.ModernBertConfig(
    vocab_size=VOCAB,
    hidden_size=WIDTH,
    intermediate_size=21,
    num_hidden_layers=size["num_layers"],
    num_attention_heads=size["num_heads"],
    max_position_embeddings=32,
    global_attn_every_n_layers=size["global_every"],
    local_attention=size["window"],
    rope_parameters={
      "full_attention": {"rope_type": "default", "rope_theta": 900.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 70.0},
    },
    norm_eps=1e-5,
    pad_token_id=0,
    bos_token_id=2,
    eos_token_id=3,
    cls_token_id=2,
    sep_token_id=3,
  )


def padded_text():
  """Rows that are full, padded on the right, and padded on the left."""
  segments = np.ones((3, LENGTH), np.int32)
  segments[1, 8:], segments[2, :4] = 0, 0
  tokens = np.random.default_rng(1).integers(5, VOCAB, segments.shape)
  return Text(np.where(segments > 0, tokens, 0).astype(np.int32), segments)


def their_arguments(text):
  return {
    "input_ids": torch.from_numpy(text.tokens).long(),
    "attention_mask": torch.from_numpy(text.segments).long(),
  }


def logits_of(graphdef, text):
  def logits(params):
    module = nnx.merge(graphdef, params)
    return module.head(module.encoder.sequence(text), module.encoder.token_embedding[...])

  return jit(logits)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_masked_lm_equals_transformers(size, tmp_path):
  recipes = recipes_of(size)
  graphdef, params = randomised(networks(recipes))
  model = load(tmp_path, KIND, hf_config(size), theirs(KIND, params, recipes))
  text = padded_text()
  positions = np.array([[0, 5, 12], [7, 2, 3], [4, 10, 8]], np.int32)
  labels = np.random.default_rng(2).integers(0, VOCAB, positions.shape)
  their_labels = np.full(text.tokens.shape, -100)
  np.put_along_axis(their_labels, positions, labels, axis=1)
  output = model(**their_arguments(text), labels=torch.from_numpy(their_labels).long())
  output.loss.backward()

  def our_loss(params):
    module = nnx.merge(graphdef, params)
    predicted = module.head.transform(pick(module.encoder.sequence(text), jnp.asarray(positions)))
    return vocabulary_loss(
      predicted.reshape(-1, WIDTH),
      module.encoder.token_embedding[...],
      jnp.asarray(labels.reshape(-1)),
      weights=token_weights(jnp.ones(9)),
      bias=module.head.bias[...],
    ).loss

  present = text.segments > 0
  logits = logits_of(graphdef, text)(params)
  close(logits[present], output.logits.detach().numpy()[present], "logits")
  loss, gradients = jit(jax.value_and_grad(our_loss))(params)
  close(loss, output.loss.item(), "loss")
  trees_close(gradients, ours(KIND, gradients_of(model), recipes))


def test_their_weights_come_back_from_their_own_file(tmp_path):
  size = SIZES["thirds"]
  model = transformers.ModernBertForMaskedLM(hf_config(size)).eval()
  model.save_pretrained(tmp_path)
  module, params = read(tmp_path)
  in_memory = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
  same(params, ours(KIND, in_memory, recipes_of(size)))
  _, expected = randomised(networks(recipes_of(size)))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected)
  text = padded_text()
  with torch.no_grad():
    logits = model(**their_arguments(text)).logits.numpy()
  present = text.segments > 0
  graphdef, params = nnx.split(module, nnx.Param)
  close(logits_of(graphdef, text)(params)[present], logits[present], "logits")


def test_the_encoder_alone_equals_their_model(tmp_path):
  size = SIZES["halves"]
  recipes = {"backbone": recipes_of(size)["backbone"]}
  graphdef, params = randomised(networks(recipes))
  tensors = theirs("ModernBertModel", params, recipes)
  model = load(tmp_path, "ModernBertModel", hf_config(size), tensors)
  text = padded_text()
  with torch.no_grad():
    tokens = model(**their_arguments(text)).last_hidden_state.numpy()
  found = jit(lambda p: nnx.merge(graphdef, p).encoder.sequence(text))(params)
  present = text.segments > 0
  close(found[present], tokens[present], "tokens")
  same(ours("ModernBertModel", tensors, recipes), params)
