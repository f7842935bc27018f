"""The smallest objective with parameters, statistics and randomness, for tests of the engine."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from pretrainjax import collectives
from pretrainjax.objectives.base import Objective


class Net(nnx.Module):
  """A linear layer and a running mean."""

  def __init__(self, *, width: int, rngs: nnx.Rngs):
    self.encoder = nnx.Linear(4, width, rngs=rngs)
    self.mean = nnx.BatchStat(jnp.zeros((4,)))


@dataclasses.dataclass(frozen=True)
class Toy(Objective):
  """Regresses noisy inputs on "y"; the target "bad" poisons a row."""

  width: int = 3

  def init(self, *, rngs):
    return Net(width=self.width, rngs=rngs)

  def loss(self, module, batch, *, rngs, step):
    x = batch["x"]
    keys = collectives.example_keys(rngs.noise(), x.shape[0])
    x = x + 0.1 * jax.vmap(lambda key: jax.random.normal(key, x.shape[1:]))(keys)
    module.mean[...] = 0.9 * module.mean[...] + 0.1 * collectives.mean(x.mean(0))
    error = module.encoder(x - module.mean[...][None]) - batch["y"]
    loss = jnp.mean(error**2)
    return loss, {"loss": loss}


def batch(step: int, *, rows: int = 16, width: int = 3) -> dict[str, np.ndarray]:
  """Rows that depend on the step alone."""
  generator = np.random.default_rng(step)
  x = generator.normal(size=(rows, 4)).astype(np.float32)
  return {"x": x, "y": x[:, :width] * 2.0}
