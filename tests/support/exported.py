"""Tiny runs with new networks, as exports take them."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.config.objects import build, spec
from pretrainjax.objectives.lora import LoRA, adapted

SIZES = {"vocab_size": 31, "max_length": 12, "embed_dim": 8}
SIZES |= {"num_layers": 2, "num_heads": 2, "mlp_dim": 6}


def loaded(objective, *, seed=0):
  """A run of an objective, with the networks that it starts from."""
  made = build(objective)
  return Loaded(ConfigDict({"objective": objective}), made, made.init(rngs=nnx.Rngs(seed)), 3)


def adapted_run(objective, *, rank=2, **settings):
  """The same with low-rank updates beside their kernels, and noise in all parameters."""
  lora = spec(LoRA, rank=rank, alpha=3.0, **settings)
  made = adapted(build(objective), build(lora))
  module = made.init(rngs=nnx.Rngs(0))
  noise = np.random.default_rng(0)
  params = nnx.state(module, nnx.Param)
  nnx.update(module, jax.tree.map(lambda x: jnp.asarray(noise.normal(size=x.shape) / 3), params))
  return Loaded(ConfigDict({"objective": objective, "lora": lora}), made, module, 3)
