import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from fake_texts import ArrayTexts, tokenizer_of_size
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.models.gpt import GPT
from pretrainjax.models.llama import Llama
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM, predicted_tokens, shifted
from pretrainjax.types import Text

SIZES = {"vocab_size": 24, "max_length": 12, "embed_dim": 16, "num_layers": 2, "mlp_dim": 32}


def gpt(**changes):
  return functools.partial(GPT, num_heads=2, **SIZES, **changes)


def llama(**changes):
  return functools.partial(Llama, num_heads=4, num_kv_heads=2, **SIZES, **changes)


def batch(**changes):
  tokens = np.random.default_rng(0).integers(0, 24, (4, 12)).astype(np.int32)
  segments = np.array(
    [[1] * 12, [1] * 5 + [2] * 7, [1] * 4 + [2] * 1 + [3] * 4 + [0] * 3, [0] * 4 + [1] * 8],
    np.int32,
  )
  return {"tokens": tokens, "segments": segments} | changes


def reference(objective, data):
  """Mean of -log p(next token of the same document), token by token in NumPy."""
  (params, extras), graphdef = tiny.start(objective)
  encoder = nnx.merge(graphdef, params, extras).encoder
  text = Text(jnp.asarray(data["tokens"]), jnp.asarray(data["segments"]))
  logits = np.asarray(encoder.sequence(text) @ encoder.output_table.T, np.float64)
  losses, hits = [], []
  for row, (tokens, segments) in enumerate(zip(data["tokens"], data["segments"], strict=True)):
    for place in range(11):
      counts = "scored" not in data or data["scored"][row, place + 1]
      if segments[place] == segments[place + 1] > 0 and counts:
        scores, label = logits[row, place], tokens[place + 1]
        losses.append(np.log(np.exp(scores).sum()) - scores[label])
        hits.append(scores.argmax() == label)
  return np.mean(losses), np.mean(hits), len(losses)


@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("make", [gpt, llama])
def test_equals_the_mean_over_next_tokens_of_the_same_document(make, chunk_size):
  objective = CausalLM(backbone=make(), chunk_size=chunk_size)
  loss, hits, count = reference(objective, batch())
  assert count == 11 + 10 + 6 + 7
  metrics = tiny.metrics_of(objective, batch())
  np.testing.assert_allclose(metrics["loss"], loss, atol=1e-4)
  np.testing.assert_allclose(metrics["next_token_accuracy"], hits, atol=1e-4)


def test_only_scored_tokens_count():
  scored = np.zeros((4, 12), bool)
  scored[0, 6:], scored[3, 9] = True, True
  data = batch(scored=scored)
  objective = CausalLM(backbone=gpt())
  loss, _, count = reference(objective, data)
  assert count == 7
  np.testing.assert_allclose(tiny.metrics_of(objective, data)["loss"], loss, atol=1e-4)


def test_nothing_to_predict_is_no_loss():
  data = batch(scored=np.zeros((4, 12), bool))
  done = tiny.run(CausalLM(backbone=gpt(), chunk_size=16), data)
  assert done.metrics["loss"] == 0
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(done.gradient))


def test_the_first_token_of_a_document_is_given_and_its_end_predicted():
  segments = jnp.array([[1, 1, 2, 2, 2, 0]])
  assert predicted_tokens(segments).tolist() == [[True, False, True, True, False, False]]
  assert shifted(segments).tolist() == [[1, 2, 2, 2, 0, 0]]


@pytest.mark.parametrize("make", [gpt, llama])
def test_gradients_reach_every_parameter(make):
  done = tiny.run(CausalLM(backbone=make(), chunk_size=16), batch())
  # The softmax does not see a shift of all its logits.
  assert tiny.without_gradient(done.gradient) <= {"encoder.blocks.attention.key.bias"}


def test_overfits_one_batch():
  objective = CausalLM(backbone=gpt(dropout=0.1), chunk_size=None)
  first, last = tiny.overfit(objective, batch(), num_steps=150)
  assert first["loss"] > 3 and last["loss"] < 0.8
  assert last["next_token_accuracy"] > 0.8 and 0 < last["feature_std"] < 1.5


def test_refuses_data_with_more_tokens_than_it_knows():
  data = ArrayTexts({}, tokenizer=tokenizer_of_size(25))
  with pytest.raises(UserError, match="backbone.vocab_size: found 24, expected at least 25"):
    CausalLM(backbone=gpt()).check(data)
  CausalLM(backbone=gpt()).check(ArrayTexts({}, tokenizer=tokenizer_of_size(24)))


def test_refuses_chunks_of_nothing():
  with pytest.raises(ValueError, match="chunk_size=0: expected at least 1"):
    CausalLM(backbone=gpt(), chunk_size=0)
