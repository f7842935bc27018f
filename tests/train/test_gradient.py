"""A batch's gradient, in one and in parts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy

from pretrainjax.objectives.split import abstract_split
from pretrainjax.train.gradient import Accumulated, GradientResult, Plain, cut, join
from pretrainjax.train.state import init_state
from pretrainjax.train.step import make_train_step

TX = optax.sgd(1.0)  # the update is then the gradient itself


def _step(gradient):
  graphdef, _, _ = abstract_split(toy.Toy())
  rate = optax.constant_schedule(1.0)
  about = {"learning_rate": rate, "total_steps": 1, "gradient": gradient}
  step = make_train_step(toy.Toy(), graphdef, TX, **about)
  state = jax.jit(lambda: init_state(toy.Toy(), TX, seed=0, with_ema=False))()
  return jax.jit(step), state


def _kernel(state):
  return np.asarray(state.params["encoder"]["kernel"])


@pytest.mark.parametrize("num_parts", [2, 4])
def test_accumulated_gradient_is_the_mean_over_parts(num_parts):
  in_parts, state = _step(Accumulated(num_parts))
  in_one, _ = _step(Plain())
  rows = toy.batch(0)
  whole, _ = in_parts(state, rows)
  # By hand: each part alone, with the key and statistics that it saw.
  assert jnp.isfinite(whole.params["encoder"]["kernel"]).all()
  part = {k: v[0::num_parts] for k, v in rows.items()}
  alone, _ = in_one(state, part)
  assert not np.allclose(_kernel(alone), _kernel(whole))
  plain, _ = in_one(state, rows)
  # Noise and running mean differ between the two, the gradient's direction hardly.
  a, b = (np.ravel(_kernel(s) - _kernel(state)) for s in (whole, plain))
  assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99


@dataclasses.dataclass(frozen=True)
class Clipped:
  """A private gradient in small: clipped one by one, summed, noise added, divided (DP-SGD)."""

  largest: float

  def check(self, objective):
    del objective

  def __call__(self, objective, graphdef, state, batch, *, key):
    def one(row):
      alone = {name: x[None] for name, x in row.items()}
      result = Plain()(objective, graphdef, state, alone, key=key)
      norm = optax.tree.norm(result.grads)
      scale = jnp.minimum(1.0, self.largest / norm)
      return jax.tree.map(lambda g: g * scale, result.grads), norm

    grads, norms = jax.vmap(one)(dict(batch))
    total = optax.tree.add(
      jax.tree.map(lambda g: g.sum(0), grads),
      optax.tree.random_like(key, state.params, sampler=jax.random.normal),
    )
    size = len(batch["x"])
    grads = jax.tree.map(lambda g: g / size, total)
    # What decides may not be read from the data.
    return GradientResult(grads, state.extras, {"loss": jnp.zeros(()), "raw_norm": norms.max()})


def test_another_way_needs_no_change_of_the_step():
  step, state = _step(Clipped(largest=1e-3))
  after, metrics = step(state, toy.batch(0))
  assert metrics["raw_norm"] > 0.1 and metrics["loss"] == 0
  assert int(after.step) == 1 and int(after.bad_steps) == 0
  # The clipped gradients' mean is at most 1e-3 long: what moved it is the noise of the sum.
  noise = optax.tree.random_like(
    jax.random.fold_in(jax.random.wrap_key_data(state.key), 0),
    state.params,
    sampler=jax.random.normal,
  )
  moved = (_kernel(state) - _kernel(after)) * 16
  np.testing.assert_allclose(moved, noise["encoder"]["kernel"], atol=16e-3 + 1e-5)
  assert np.abs(moved).max() > 0.5


def test_join_undoes_cut():
  x = jnp.arange(24).reshape(12, 2)
  np.testing.assert_array_equal(cut(x, 4)[1], x[1::4])
  np.testing.assert_array_equal(join(cut(x, 4)), x)
