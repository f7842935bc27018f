"""An objective of one's own package, with its own encoder: by how much was an image turned?"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from configs.blocks import fashion_mnist, training
from own_lab.nets import Matrix
from pretrainjax.config import recipe, spec
from pretrainjax.data.image import Resize
from pretrainjax.losses.cross_entropy import cross_entropy
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.train.optimizer import Optimizer

TURNS = 4  # by 90 degrees each


@dataclasses.dataclass(frozen=True)
class Rotation(Objective):
  """Tell apart four rotations of every image: arXiv 1803.07728, equation 3."""

  backbone: Callable

  def init(self, *, rngs):
    encoder = self.backbone(rngs=rngs)
    return Towers(encoder=encoder, head=nnx.Linear(encoder.embed_dim, TURNS, rngs=rngs))

  def loss(self, module, batch, *, rngs, step):
    images = jnp.asarray(module.encoder.inputs(batch))
    losses = []
    for turns in range(TURNS):
      pooled = module.encoder(jnp.rot90(images, turns, axes=(1, 2)), rngs=rngs).pooled
      labels = jnp.full(len(images), turns)
      losses.append(jnp.mean(cross_entropy(module.head(pooled), labels)))
    loss = jnp.mean(jnp.stack(losses))
    return loss, {"loss": loss}


def config_of() -> ConfigDict:
  """A tiny run."""
  return training.run(
    objective=spec(Rotation, backbone=recipe(Matrix)),
    data=fashion_mnist.data(
      split="train", batch_size=16, transform=spec(Resize, size=fashion_mnist.SIZE)
    ),
    optimizer=spec(Optimizer, learning_rate=1e-3),
    duration=training.steps(1),
  )
