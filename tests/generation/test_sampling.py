import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.generation.sampling import Sampling, choose, keep_likely

LOGITS = jnp.log(jnp.array([[0.1, 0.4, 0.2, 0.3], [0.7, 0.05, 0.05, 0.2]]))


def kept(top_k=4, top_p=1.0):
  return np.isfinite(keep_likely(LOGITS, top_k=top_k, top_p=top_p)).astype(int).tolist()


def drawn(sampling, logits=LOGITS[:1], count=2000):
  keys = jax.random.split(jax.random.key(0), count)
  rows = jnp.broadcast_to(logits, (count, logits.shape[1]))
  arrays = sampling.arrays(logits.shape[1])
  tokens = choose(rows, keys=keys, mode=sampling.mode, arrays=arrays)
  return np.bincount(tokens, minlength=logits.shape[1]) / count


def test_the_best_k_stay_and_all_that_tie_with_the_last():
  assert kept(top_k=1) == [[0, 1, 0, 0], [1, 0, 0, 0]]
  assert kept(top_k=2) == [[0, 1, 0, 1], [1, 0, 0, 1]]
  assert kept(top_k=3) == [[0, 1, 1, 1], [1, 1, 1, 1]]


def test_the_fewest_best_whose_odds_reach_p_stay():
  assert kept(top_p=0.01) == [[0, 1, 0, 0], [1, 0, 0, 0]]
  assert kept(top_p=0.65) == [[0, 1, 0, 1], [1, 0, 0, 0]]
  assert kept(top_p=0.75) == [[0, 1, 1, 1], [1, 0, 0, 1]]
  assert kept(top_p=1.0) == [[1, 1, 1, 1], [1, 1, 1, 1]]


def test_p_is_of_what_k_leaves():
  # Of the best two, 0.4 and 0.3, the first alone has 0.57.
  assert kept(top_k=2, top_p=0.5)[0] == [0, 1, 0, 0]
  assert kept(top_k=2, top_p=0.6)[0] == [0, 1, 0, 1]


def test_impossible_tokens_stay_impossible():
  logits = LOGITS.at[0, 1].set(-jnp.inf)
  assert np.isfinite(keep_likely(logits, top_k=4, top_p=1.0)).tolist()[0] == [1, 0, 1, 1]
  assert drawn(Sampling(top_k=3), logits[:1])[1] == 0


def test_odds_are_those_of_the_model_and_the_temperature_sharpens_them():
  np.testing.assert_allclose(drawn(Sampling()), [0.1, 0.4, 0.2, 0.3], atol=0.04)
  squared = np.array([0.01, 0.16, 0.04, 0.09]) / 0.3
  np.testing.assert_allclose(drawn(Sampling(temperature=0.5)), squared, atol=0.04)
  np.testing.assert_allclose(drawn(Sampling(top_k=2)), [0, 4 / 7, 0, 3 / 7], atol=0.04)


def test_temperature_zero_and_a_choice_of_one_take_the_best():
  for sampling in (Sampling(temperature=0), Sampling(top_k=1, temperature=5)):
    assert sampling.mode == "greedy" and drawn(sampling, count=3).tolist() == [0, 1, 0, 0]
  assert Sampling(temperature=2).mode == "plain" and Sampling(top_p=0.9).mode == "filtered"


def test_refuses_numbers_out_of_range():
  for name, value in (("temperature", -1), ("temperature", float("nan")), ("top_k", 0)):
    with pytest.raises(ValueError, match=f"{name}: found {value}"):
      Sampling(**{name: value})
  for value in (0.0, 1.1):
    with pytest.raises(ValueError, match=f"top_p: found {value}"):
      Sampling(top_p=value)
