"""Tiny runs with new networks, as exports take them."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.config.objects import build, spec
from pretrainjax.models.layers.lora import LoRALinear
from pretrainjax.objectives.lora import LoRA, adapted

SIZES = {"vocab_size": 31, "max_length": 12, "embed_dim": 8}
SIZES |= {"num_layers": 2, "num_heads": 2, "mlp_dim": 6}


def loaded(objective, *, seed=0):
  """A run of an objective, with the networks that it starts from."""
  made = build(objective)
  return Loaded(ConfigDict({"objective": objective}), made, made.init(rngs=nnx.Rngs(seed)), 3)


def adapted_run(objective, *, rank=2, **settings):
  """The same with low-rank updates of noise, beside their kernels."""
  lora = spec(LoRA, rank=rank, alpha=3.0, **settings)
  made = adapted(build(objective), build(lora))
  module = made.init(rngs=nnx.Rngs(0))
  noise = np.random.default_rng(0)
  for _, layer in nnx.iter_modules(module):
    if isinstance(layer, LoRALinear):
      layer.lora_b[...] = jnp.asarray(noise.normal(size=layer.lora_b.shape), jnp.float32)
  return Loaded(ConfigDict({"objective": objective, "lora": lora}), made, module, 3)
