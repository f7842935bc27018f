"""In training: a batch's own statistics, and how the running ones move."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torchvision_operators  # noqa: F401
from flax import nnx
from transformers_models import close, gradients_of, jit, saved, trees_close

from pretrainjax.checkpoint.encoder import load
from pretrainjax.convert import resnet
from pretrainjax.convert.family import Tokens
from pretrainjax.convert.table import flatten, to_ours
from pretrainjax.objectives.split import split

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
SIZES = dict(num_channels=2, embedding_size=6, hidden_sizes=[8, 12], depths=[1, 2])


def test_a_step_of_training_is_the_same(tmp_path):
  torch.manual_seed(0)
  model = transformers.ResNetModel(transformers.ResNetConfig(**SIZES)).train()
  saved(model, tmp_path)
  loaded = load(f"hf:{tmp_path}")
  graphdef, params, extras = split(nnx.Dict({"encoder": loaded.encoder}))
  rng = np.random.default_rng(0)
  images = np.float32(rng.normal(size=(3, 21, 18, 2)))
  weights = np.float32(rng.normal(size=(3, 12)))

  @jit
  def step(params):
    def loss(params):
      network = nnx.merge(graphdef, params, extras)
      pooled = network["encoder"](images, deterministic=False).pooled
      return jnp.sum(pooled * weights), nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))

    return jax.value_and_grad(loss, has_aux=True)(params)

  (value, statistics), gradients = step(params)
  theirs = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).pooler_output[..., 0, 0]
  their_loss = (theirs * torch.from_numpy(weights)).sum()
  their_loss.backward()
  close(value, their_loss.item(), "loss")
  table = resnet.table({"backbone": loaded.config.objective.backbone}, "ResNetModel", Tokens())
  rules = {kind: tuple(r for r in table.rules if kind(r)) for kind in (_is_running, _is_learned)}
  named = {table.plain(name): gradient for name, gradient in gradients_of(model).items()}
  trees_close(gradients, to_ours(rules[_is_learned], named))

  buffers = {table.plain(name): b.numpy() for name, b in model.named_buffers() if "running" in name}
  moved = flatten(to_ours(rules[_is_running], buffers))
  for path, ours in flatten(statistics).items():
    if path.endswith("mean"):
      close(ours, moved[path], path)
  # The stem's variance is of 3 x 11 x 9 places; torch divides by one less.
  biased = 0.9 + (moved["encoder/stem_norm/var"] - 0.9) * (296 / 297)
  close(statistics["encoder"]["stem_norm"]["var"], biased, "variance")


def _is_running(rule):
  return ".running_" in rule.theirs


def _is_learned(rule):
  return not _is_running(rule)
