"""Ours against GPT2LMHeadModel and LlamaForCausalLM: same weights, same text, same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from their_tensors import networks, ours, read, same, theirs
from transformers_models import close, gradients_of, jit, load, randomised, trees_close

from pretrainjax.config.objects import build, recipe, spec
from pretrainjax.generation.generate import Generator
from pretrainjax.generation.sampling import Sampling
from pretrainjax.models.gpt import GPT
from pretrainjax.models.layers.scope import positions_of
from pretrainjax.models.llama import Llama
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM, predicted_tokens
from pretrainjax.types import Text

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
# Odd sizes on purpose.
VOCAB, LENGTH, CONTEXT, PAD, END = 37, 11, 29, 0, 3
SIZES = {"vocab_size": VOCAB, "max_length": CONTEXT, "mlp_dim": 22}
IDS = {"vocab_size": VOCAB, "pad_token_id": PAD, "bos_token_id": 2, "eos_token_id": END}


def llama_config(*, heads, kv_heads, layers, theta, tied, eps):
  return transformers.LlamaConfig(
    hidden_size=6 * heads,
    intermediate_size=22,
    num_hidden_layers=layers,
    num_attention_heads=heads,
    num_key_value_heads=kv_heads,
    max_position_embeddings=CONTEXT,
    rms_norm_eps=eps,
    rope_parameters={"rope_type": "default", "rope_theta": theta},
    tie_word_embeddings=tied,
    **IDS,
  )


def our_llama(*, heads, kv_heads, layers, theta, tied, eps):
  sizes = {"num_heads": heads, "num_kv_heads": kv_heads, "num_layers": layers, **SIZES}
  return recipe(Llama, embed_dim=6 * heads, theta=theta, tied=tied, eps=eps, **sizes)


WIDE = dict(heads=6, kv_heads=2, layers=2, theta=500.0, tied=False, eps=1e-5)
SMALL = dict(heads=3, kv_heads=3, layers=3, theta=10_000.0, tied=True, eps=1e-6)
# Of each: our model, their class and config.
FAMILIES = {
  "gpt2": (
    recipe(GPT, embed_dim=15, num_layers=3, num_heads=3, **SIZES),
    "GPT2LMHeadModel",
    lambda: transformers.GPT2Config(
      n_positions=CONTEXT,
      n_embd=15,
      n_layer=3,
      n_head=3,
      n_inner=22,
      activation_function="gelu_new",
      layer_norm_epsilon=1e-5,
      resid_pdrop=0.0,
      embd_pdrop=0.0,
      attn_pdrop=0.0,
      **IDS,
    ),
  ),
  "llama, grouped": (
    our_llama(**WIDE),
    "LlamaForCausalLM",
    lambda: llama_config(**WIDE),
  ),
  "llama, tied": (
    our_llama(**SMALL),
    "LlamaForCausalLM",
    lambda: llama_config(**SMALL),
  ),
}
ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def padded_text():
  """Rows that are full, padded on the right, and padded on the left."""
  rng = np.random.default_rng(1)
  segments = np.ones((3, LENGTH), np.int32)
  segments[1, 8:], segments[2, :4] = 0, 0
  tokens = np.where(segments > 0, rng.integers(4, VOCAB, segments.shape), PAD)
  return Text(tokens.astype(np.int32), segments)


def their_arguments(text):
  positions = np.asarray(positions_of(jnp.asarray(text.segments))) * text.segments
  return {
    "input_ids": torch.from_numpy(text.tokens).long(),
    "attention_mask": torch.from_numpy(text.segments).long(),
    "position_ids": torch.from_numpy(positions).long(),
  }


def their_labels(text):
  predicted = np.zeros(text.tokens.shape, bool)
  predicted[:, 1:] = np.asarray(predicted_tokens(jnp.asarray(text.segments)))[:, :-1]
  return torch.from_numpy(np.where(predicted, text.tokens, -100)).long()


def logits_of(graphdef, params, text):
  @jit
  def logits(params):
    encoder = nnx.merge(graphdef, params).encoder
    return jnp.einsum("btd,vd->btv", encoder.sequence(text), encoder.output_table)

  return logits(params)


@ALL
def test_logits_loss_and_gradients_equal_transformers(family, tmp_path):
  backbone, kind, config = family
  recipes = {"backbone": backbone}
  graphdef, params = randomised(networks(recipes))
  model = load(tmp_path, kind, config(), theirs(kind, params, recipes))
  text = padded_text()
  output = model(**their_arguments(text), labels=their_labels(text))
  output.loss.backward()
  present = text.segments > 0
  found = logits_of(graphdef, params, text)
  close(found[present], output.logits.detach().numpy()[present], "logits")

  def loss(params):
    module = nnx.merge(graphdef, params)
    objective = build(spec(CausalLM, backbone=backbone, chunk_size=8))
    batch = {"tokens": text.tokens, "segments": text.segments}
    return objective.loss(module, batch, rngs=nnx.Rngs(0), step=0)[0]

  value, gradients = jit(jax.value_and_grad(loss))(params)
  close(value, output.loss.item(), "loss")
  trees_close(gradients, ours(kind, gradients_of(model), recipes))


@ALL
def test_their_weights_come_back_from_their_own_file(family, tmp_path):
  backbone, kind, config = family
  model = getattr(transformers, kind)(config()).eval()
  model.save_pretrained(tmp_path)
  module, params = read(tmp_path)
  in_memory = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
  same(params, ours(kind, in_memory, {"backbone": backbone}))
  _, expected = randomised(networks({"backbone": backbone}))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected)
  text = padded_text()
  with torch.no_grad():
    logits = model(**their_arguments(text)).logits.numpy()
  present = text.segments > 0
  found = logits_of(*nnx.split(module, nnx.Param), text)
  close(found[present], logits[present], "logits")


@ALL
def test_greedy_texts_equal_those_of_generate(family, tmp_path):
  backbone, kind, config = family
  recipes = {"backbone": backbone}
  graphdef, params = randomised(networks(recipes))
  model = load(tmp_path, kind, config(), theirs(kind, params, recipes))
  prompts = [[2], [2, 9, 8], [2, 30, 31, 5, 6, 11, 19], [2, 23, 4, 9, 22]]
  longest = max(map(len, prompts))
  padded = np.array([[PAD] * (longest - len(p)) + p for p in prompts])
  with torch.no_grad():
    expected = model.generate(
      torch.from_numpy(padded),
      attention_mask=torch.from_numpy(np.int64(padded != PAD)),
      do_sample=False,
      max_new_tokens=14,
    ).numpy()[:, longest:]
  run = Generator(nnx.merge(graphdef, params).encoder, end_id=END).start(
    prompts, max_new_tokens=14, sampling=Sampling(temperature=0)
  )
  while not run.is_done:
    run.advance()
  for found, whole in zip(run.tokens, expected.tolist(), strict=True):
    assert found == (whole[: whole.index(END)] if END in whole else whole)
  assert len({token for row in run.tokens for token in row}) > 3
