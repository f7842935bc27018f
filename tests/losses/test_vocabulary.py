import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.collectives import AXIS
from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_cross_entropy, vocabulary_loss

TOKENS, WIDTH, ENTRIES = 13, 6, 11  # 13 is divided by no chunk


def arrays(dtype=jnp.float32):
  rng = np.random.default_rng(0)
  hidden = jnp.asarray(rng.normal(size=(TOKENS, WIDTH)), dtype)
  table = jnp.asarray(rng.normal(size=(ENTRIES, WIDTH)), jnp.float32)
  bias = jnp.asarray(rng.normal(size=ENTRIES), jnp.float32)
  weights = jnp.asarray(rng.uniform(size=TOKENS) * (rng.uniform(size=TOKENS) < 0.7), jnp.float32)
  return hidden, table, bias, weights


LABELS = jnp.asarray(np.random.default_rng(1).integers(0, ENTRIES, TOKENS))


def plain(hidden, table, bias, weights):
  """The weighted sum by the book, in float32."""
  logits = jnp.einsum("me,ve->mv", hidden.astype(jnp.float32), table)
  logits = logits if bias is None else logits + bias[None]
  chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), LABELS[:, None], axis=1)[:, 0]
  hits = (jnp.argmax(logits, axis=1) == LABELS).astype(jnp.float32)
  return -jnp.vdot(weights, chosen), jnp.vdot(weights, hits)


def per_token(chunk_size):
  def fn(hidden, table, bias, weights):
    scores = vocabulary_cross_entropy(hidden, table, LABELS, bias=bias, chunk_size=chunk_size)
    return jnp.vdot(weights, scores.loss), jnp.vdot(weights, scores.correct)

  return fn


def weighted(chunk_size):
  def fn(hidden, table, bias, weights):
    options = {"weights": weights, "bias": bias, "chunk_size": chunk_size}
    return tuple(vocabulary_loss(hidden, table, LABELS, **options))

  return fn


def gradients(fn, *arguments):
  arguments = [a for a in arguments if a is not None]
  if len(arguments) == 3:
    whole = fn
    fn = lambda hidden, table, weights: whole(hidden, table, None, weights)  # noqa: E731
  numbers = tuple(range(len(arguments)))
  return jax.jit(jax.value_and_grad(fn, argnums=numbers, has_aux=True))(*arguments)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("chunk_size", [None, 1, 4, 13, 50])
@pytest.mark.parametrize("make", [per_token, weighted])
def test_equals_the_plain_loss_and_its_gradients(make, chunk_size, with_bias):
  hidden, table, bias, weights = arrays()
  bias = bias if with_bias else None
  expected = gradients(plain, hidden, table, bias, weights)
  found = gradients(make(chunk_size), hidden, table, bias, weights)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


@pytest.mark.parametrize("make", [per_token, weighted])
def test_bfloat16_keeps_the_softmax_in_float32(make):
  hidden, table, bias, weights = arrays(jnp.bfloat16)
  table = table.astype(jnp.bfloat16).astype(jnp.float32)  # so that only the softmax could round
  (loss, hits), found = gradients(make(4), hidden, table, bias, weights)
  (expected, expected_hits), wide = gradients(plain, hidden, table, bias, weights)
  assert loss.dtype == jnp.float32 and found[0].dtype == jnp.bfloat16
  np.testing.assert_allclose(loss, expected, rtol=1e-5)
  np.testing.assert_allclose(hits, expected_hits, rtol=1e-5)
  for a, b in zip(found, wide, strict=True):  # the slope of the logits is rounded once
    np.testing.assert_allclose(np.float32(a), np.float32(b), atol=2e-2)


@pytest.mark.parametrize("make", [per_token, weighted])
def test_chunks_need_less_memory_forward_and_backward(make):
  tokens, entries = 512, 1024
  hidden, table = jnp.zeros((tokens, 8)), jnp.zeros((entries, 8))
  labels, weights = jnp.zeros(tokens, int), jnp.ones(tokens)

  def peak(chunk_size, differentiate):
    def loss(hidden, table):
      if make is per_token:
        return jnp.sum(vocabulary_cross_entropy(hidden, table, labels, chunk_size=chunk_size).loss)
      return vocabulary_loss(hidden, table, labels, weights=weights, chunk_size=chunk_size).loss

    fn = jax.grad(loss, argnums=(0, 1)) if differentiate else loss
    return jax.jit(fn).lower(hidden, table).compile().memory_analysis().temp_size_in_bytes

  logits = tokens * entries * 4
  for differentiate in (False, True):
    assert peak(None, differentiate) >= logits
    assert peak(64, differentiate) < logits / 4


def test_a_tie_is_a_part_of_a_success():
  hidden, table = jnp.ones((4, 2)), jnp.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
  labels = jnp.array([0, 1, 2, 2])
  for chunk_size in (None, 3):
    correct = vocabulary_cross_entropy(hidden, table, labels, chunk_size=chunk_size).correct
    np.testing.assert_array_equal(correct, [0.5, 0.5, 0, 0])


def test_extreme_logits_stay_finite():
  hidden, table, bias, weights = arrays()
  for make in (per_token(4), weighted(4), weighted(None)):
    found = gradients(make, hidden * 1e4, table, bias, weights)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_shares_of_tokens_give_the_whole_batch_its_loss_on_any_number_of_devices():
  hidden, table, bias, _ = (x if x.ndim == 1 else x[:12] for x in arrays())
  table, bias, labels = table[:11], bias, LABELS[:12]
  scored = jnp.asarray(np.random.default_rng(2).uniform(size=12) < 0.5)

  def loss(table, hidden, labels, scored):
    weights = token_weights(scored)
    options = {"weights": weights, "bias": bias, "chunk_size": 2}
    return vocabulary_loss(hidden, table, labels, **options).loss

  split = [x.reshape(2, 6, *x.shape[1:]) for x in (hidden, labels, scored)]
  step = jax.vmap(jax.value_and_grad(loss), in_axes=(None, 0, 0, 0), axis_name=AXIS)
  found = jax.tree.map(lambda x: x.mean(axis=0), step(table, *split))
  expected = jax.value_and_grad(loss)(table, hidden, labels, scored)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected)


def test_refuses_chunks_of_nothing():
  hidden, table, _, weights = arrays()
  with pytest.raises(ValueError, match="chunk_size=0: expected at least 1"):
    vocabulary_cross_entropy(hidden, table, LABELS, chunk_size=0)
  with pytest.raises(ValueError, match="chunk_size=-1: expected at least 1"):
    vocabulary_loss(hidden, table, LABELS, weights=weights, chunk_size=-1)
