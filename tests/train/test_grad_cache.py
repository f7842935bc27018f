"""The gradient of a batch that is encoded in parts is that of the batch in one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.losses.contrastive import compare_pairs, compare_views
from pretrainjax.objectives.base import Towers, WholeBatchObjective
from pretrainjax.objectives.split import abstract_split
from pretrainjax.train.grad_cache import Cached
from pretrainjax.train.gradient import Accumulated, Plain
from pretrainjax.train.state import init_state
from pretrainjax.train.step import make_train_step

TX = optax.sgd(1.0)  # the update is then the gradient itself


class Net(nnx.Module):
  """Two layers, perhaps with batch statistics between them."""

  def __init__(self, *, with_norm: bool, rngs: nnx.Rngs):
    self.first, self.second = (nnx.Linear(6, 6, rngs=rngs) for _ in range(2))
    self.norm = nnx.BatchNorm(6, rngs=rngs) if with_norm else None

  def __call__(self, x):
    x = self.first(x)
    return self.second(nnx.gelu(x if self.norm is None else self.norm(x)))


@dataclasses.dataclass(frozen=True)
class Pairs(WholeBatchObjective):
  """Two views, compared one way or the other."""

  loss_name: str = "views"
  with_norm: bool = False

  def init(self, *, rngs):
    return Towers(encoder=Net(with_norm=self.with_norm, rngs=rngs))

  def represent(self, module, batch, *, rngs, step):
    rows = batch["x"].reshape(-1, 6)
    return {"projected": module.encoder(rows).reshape(-1, 2, 6)}

  def compare(self, module, found):
    views = found["projected"]
    if self.loss_name == "views":
      loss = compare_views(views, temperature=0.3).loss.mean()
    else:
      loss = compare_pairs(views[:, 0], views[:, 1], temperature=0.3).loss.mean()
    return loss, {"loss": loss, "size": jnp.asarray(len(views), jnp.float32)}


def _update(objective, gradient=Plain()):
  graphdef, _, _ = abstract_split(objective)
  rate = optax.constant_schedule(1.0)
  about = {"learning_rate": rate, "total_steps": 1, "gradient": gradient}
  step = jax.jit(make_train_step(objective, graphdef, TX, **about))
  state = jax.jit(lambda: init_state(objective, TX, seed=0, with_ema=False))()
  x = np.random.default_rng(0).normal(size=(24, 2, 6)).astype(np.float32)
  return step(state, {"x": x})


def _params(state):
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(state.params)])


@pytest.mark.parametrize("parts", [2, 4, 12])
@pytest.mark.parametrize("loss_name", ["views", "pairs"])
def test_parts_are_as_the_whole(parts, loss_name):
  whole, expected = _update(Pairs(loss_name))
  cached, metrics = _update(Pairs(loss_name), Cached(parts))
  np.testing.assert_allclose(_params(cached), _params(whole), rtol=1e-5, atol=1e-6)
  for name in ("loss", "grad_norm", "size"):
    np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)
  alone, _ = _update(Pairs(loss_name), Accumulated(parts))
  assert np.abs(_params(alone) - _params(whole)).max() > 1e-3  # each part saw fewer negatives


def test_batch_statistics_are_those_of_parts():
  """The limit that is stated: with BatchNorm parts are not as the whole."""
  whole, _ = _update(Pairs(with_norm=True))
  cached, _ = _update(Pairs(with_norm=True), Cached(4))
  assert np.abs(_params(cached) - _params(whole)).max() > 1e-3
  changed = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), cached.extras, whole.extras)
  assert max(jax.tree.leaves(changed)) > 1e-3


def test_one_part_is_not_encoded_twice():
  whole, _ = _update(Pairs(with_norm=True))
  cached, _ = _update(Pairs(with_norm=True), Cached(1))
  np.testing.assert_array_equal(_params(cached), _params(whole))


def test_is_for_what_compares_examples():
  Cached(2).check(Pairs())
  with pytest.raises(
    UserError, match="grad_cache: found True, expected False: Toy does not compare"
  ):
    Cached(2).check(toy.Toy())
