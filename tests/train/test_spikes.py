"""The running mean and deviation of the loss, and which losses are far above them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.train.spikes import Spikes, high_threshold, initial_trend, update_trend

SPIKES = Spikes(window=10, deviations=4.0)


def after(losses, *, spikes=SPIKES):
  """All trends, one a loss."""

  def turn(trend, loss):
    trend = update_trend(trend, loss, spikes=spikes)
    return trend, trend

  _, trends = jax.jit(lambda x: jax.lax.scan(turn, initial_trend(), x))(
    jnp.asarray(losses, jnp.float32)
  )
  return trends


def noise(count: int, *, mean=2.0, deviation=0.1) -> np.ndarray:
  return np.random.default_rng(0).normal(mean, deviation, count)


def test_the_first_window_is_plain_mean_and_variance():
  losses = noise(10)
  trends = after(losses)
  for i in range(10):
    np.testing.assert_allclose(trends.mean[i], losses[: i + 1].mean(), rtol=1e-5)
    np.testing.assert_allclose(trends.variance[i], losses[: i + 1].var(), rtol=1e-3, atol=1e-6)


def test_later_it_follows_exponentially():
  losses = noise(300, mean=0.0)
  trends = after(losses, spikes=Spikes(window=10, deviations=1e3))
  mean = losses[:10].mean()
  for loss in losses[10:]:
    mean += 0.1 * (loss - mean)
  np.testing.assert_allclose(trends.mean[-1], mean, rtol=1e-4)


def test_noise_has_no_spikes_and_a_jump_is_one():
  losses = noise(500)
  assert not after(losses).high_in_row.any()
  losses[300:303] = 4.0
  assert after(losses).high_in_row[299:304].tolist() == [0, 1, 2, 3, 0]


def test_neither_a_falling_loss_nor_the_first_steps_are_spikes():
  falling = np.exp(-np.arange(200) / 30) * 5 + noise(200)
  assert not after(falling).high_in_row.any()
  early = noise(50)
  early[7] = 9.0
  assert not after(early).high_in_row.any()


def test_one_outlier_does_not_hide_the_next():
  losses = noise(200)
  losses[100] = 1e6
  losses[104] = 5.0
  assert after(losses).high_in_row[100:106].tolist() == [1, 0, 0, 0, 1, 0]


def test_a_new_level_becomes_usual():
  losses = np.concatenate([noise(100), noise(200, mean=3.0)])
  high = after(losses).high_in_row
  assert high[100] == 1 and not high[140:].any()


def test_a_loss_that_hardly_moves_may_move_a_little():
  losses = np.full(50, 2.0)
  losses[40] = 2.0001
  assert not after(losses).high_in_row.any()
  losses[40] = 2.1
  assert after(losses).high_in_row[40] == 1


def test_a_spike_moves_nothing_before_it_is_told():
  losses = noise(200)
  losses[100:103] = 50.0
  trends = after(losses)
  for values in (trends.mean, trends.variance, trends.count):
    assert values[102] == values[99]


def test_the_limit_is_said():
  trend = jax.tree.map(lambda x: x[-1], after(noise(100)))
  np.testing.assert_allclose(
    high_threshold(trend, spikes=SPIKES), trend.mean + 4 * trend.variance**0.5, rtol=1e-6
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"patience": 0}, "patience=0: expected at least 1"),
    ({"window": 1}, "window=1: expected at least 2"),
    ({"back": -1}, "back=-1"),
    ({"max_roll_backs": 0}, "max_roll_backs=0"),
    ({"deviations": 0.0}, "deviations=0.0: expected above 0"),
  ],
)
def test_ranges(changes, message):
  with pytest.raises(ValueError, match=message):
    Spikes(**changes)
