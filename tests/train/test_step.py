"""One step: what it changes, and what it leaves alone when the numbers are bad."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import toy

from pretrainjax.objectives.split import abstract_split
from pretrainjax.train.state import init_state
from pretrainjax.train.step import make_train_step

TX = optax.adam(1e-2)


class Scheduled(toy.Toy):
  """Keeps what it is told of the run's progress."""

  def after_update(self, module, *, step, progress):
    module.mean[...] = jnp.stack([step.astype(jnp.float32), progress, progress, progress])


def _start(*, with_ema=False):
  return jax.jit(lambda: init_state(toy.Toy(), TX, seed=0, with_ema=with_ema))()


def _step(objective=toy.Toy(), *, total_steps=200, **options):
  graphdef, _, _ = abstract_split(objective)
  rate = optax.constant_schedule(1e-2)
  about = {"learning_rate": rate, "total_steps": total_steps} | options
  step = make_train_step(objective, graphdef, TX, **about)
  return jax.jit(step)


def test_loss_falls_and_statistics_move():
  step, state = _step(), _start()
  first = None
  for i in range(200):
    state, metrics = step(state, toy.batch(i))
    first = metrics["loss"] if first is None else first
  assert metrics["loss"] < 0.3 * first
  assert np.any(state.extras["mean"] != 0)
  assert (int(state.step), int(state.bad_steps)) == (200, 0)
  assert metrics["learning_rate"] == np.float32(1e-2)


def test_a_step_that_is_not_finite_changes_nothing_but_the_counts():
  step, state = _step(ema_decay=0.9), _start(with_ema=True)
  state, _ = step(state, toy.batch(0))
  poisoned = toy.batch(1)
  poisoned["x"][3, 1] = np.nan
  after, metrics = step(state, poisoned)
  for name in ("params", "extras", "opt_state", "ema", "key", "trend"):
    jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(state, name))
  assert (int(after.step), int(after.position)) == (2, 2)
  assert (int(after.bad_steps), int(after.bad_in_row)) == (1, 1)
  assert np.isnan(metrics["loss"])
  again, metrics = step(after, toy.batch(2))
  assert (int(again.bad_steps), int(again.bad_in_row), int(metrics["bad_in_row"])) == (1, 0, 0)


def test_average_of_weights_follows_them():
  step, state = _step(ema_decay=0.5), _start(with_ema=True)
  ema = state.params["encoder"]["kernel"]
  for i in range(5):
    state, _ = step(state, toy.batch(i))
    decay = np.float32(min(0.5, (1 + i) / (10 + i)))
    ema = ema * decay + state.params["encoder"]["kernel"] * (1 - decay)
  np.testing.assert_allclose(state.ema["encoder"]["kernel"], ema, rtol=1e-6)


def test_randomness_is_a_function_of_key_and_step():
  step, state = _step(), _start()
  a, _ = step(state, toy.batch(0))
  b, _ = step(state, toy.batch(0))
  jax.tree.map(np.testing.assert_array_equal, a, b)
  c, metrics_c = step(state.replace(step=state.step + 1), toy.batch(0))
  _, metrics_a = step(state, toy.batch(0))
  assert metrics_a["loss"] != metrics_c["loss"]


def test_progress_is_a_share_of_the_run():
  step, state = _step(Scheduled(), total_steps=4), _start()
  found = []
  for i in range(6):
    state, _ = step(state, toy.batch(i))
    found.append(np.asarray(state.extras["mean"])[:2])
  np.testing.assert_array_equal(found, [[0, 0], [1, 0.25], [2, 0.5], [3, 0.75], [4, 1], [5, 1]])
