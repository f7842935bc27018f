import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sides

from pretrainjax.models.gpt import GPT
from pretrainjax.models.layers import attention
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.train.optimizer import Optimizer

SIZES = {"vocab_size": 11, "max_length": 6, "embed_dim": 4, "num_layers": 1, "num_heads": 1}


def test_a_side_takes_steps_and_says_what_they_cost():
  objective = CausalLM(backbone=functools.partial(GPT, mlp_dim=8, **SIZES))
  tokens = np.random.default_rng(0).integers(5, 11, (4, 6), dtype=np.int32)
  batch = {"tokens": tokens, "segments": np.ones_like(tokens)}
  side = sides.OurSteps(objective, Optimizer(learning_rate=0.05), batch)
  handlers = sides.handlers(side)
  first = handlers["about"]()
  assert handlers["time"](steps=20) > 0
  about = handlers["about"]()
  assert about["loss"] < first["loss"]
  # Tables of tokens and positions, four products with biases, two perceptrons, three norms.
  assert about["num_parameters"] == 17 * 4 + 4 * (16 + 4) + (32 + 8 + 32 + 4) + 3 * 8
  assert about["flops"] > 0 and about["peak_bytes"] > 0 and about["fused_attention"] == 0


def test_attention_is_by_the_kernel_that_was_asked_for(monkeypatch):
  monkeypatch.setattr(attention, "pick_kernel", attention.pick_kernel)  # put back at the end
  asked = []
  monkeypatch.setattr(jax.nn, "dot_product_attention", lambda q, *_, **o: asked.append(o) or q)
  ones = jnp.ones((1, 2, 1, 8))
  attention.dot_product_attention(ones, ones, ones)
  assert not asked  # the CPU's own is einsum
  sides.force_attention("xla")
  attention.dot_product_attention(ones, ones, ones)
  assert [options["implementation"] for options in asked] == ["xla"]


def test_models_of_unequal_size_are_not_compared():
  sides.check_equal_sizes({"ours": {"num_parameters": 3}, "peer": {"num_parameters": 3}})
  with pytest.raises(SystemExit, match="not the same models.*'ours': 3.*'peer': 4"):
    sides.check_equal_sizes({"ours": {"num_parameters": 3}, "peer": {"num_parameters": 4}})
