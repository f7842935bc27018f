"""Cross-entropy over large vocabularies, computed a chunk of logits at a time.

A file's letters: M tokens, V entries of the vocabulary, E width of the token table.

Chunks are of tokens and not of the vocabulary: a chunk's softmax is then whole at once, so that
one look at its logits is enough for the loss, the accuracy and, in `vocabulary_loss`, the gradient.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pretrainjax import collectives


class TokenScores(NamedTuple):
  """The loss of each token, and whether its label had the highest logit.

  Attributes:
    loss: cross-entropy in nats, float32.
    correct: 1 where the label alone has the highest logit, 1/n where it shares it with others, n
      in all, else 0; float32, without gradient.
  """

  loss: Float[Array, " M"]
  correct: Float[Array, " M"]


class WeightedScores(NamedTuple):
  """The weighted sums of `TokenScores` over all tokens.

  Attributes:
    loss: the sum of weight * loss.
    correct: the sum of weight * correct, without gradient.
  """

  loss: Float[Array, ""]
  correct: Float[Array, ""]


def vocabulary_cross_entropy(
  hidden: Float[Array, "M E"],
  table: Float[Array, "V E"],
  labels: Int[Array, " M"],
  *,
  bias: Float[Array, " V"] | None = None,
  chunk_size: int | None = None,
) -> TokenScores:
  """Softmax cross-entropy of each token over the vocabulary.

      logits_m = table hidden_m + bias
      loss_m = logsumexp(logits_m) - logits_m[label_m]

  Where gradients of a weighted sum are all that is wanted, `vocabulary_loss` has them for less.

  Args:
    hidden: features of tokens; matrix products have their dtype, all else is float32.
    table: one row an entry of the vocabulary.
    labels: numbers of entries, all of them valid; what to ignore, the caller weights with 0.
    bias: one number an entry, added to the logits; None adds nothing.
    chunk_size: most tokens whose logits are held at once; the backward pass computes them again.
      None holds all logits "M V", and keeps them for the backward pass.

  Raises:
    ValueError: for a chunk_size below 1.

  >>> hidden, table = jnp.ones((2, 3)), jnp.zeros((10, 3))
  >>> scores = vocabulary_cross_entropy(hidden, table, jnp.array([4, 5]), chunk_size=1)
  >>> print(scores.loss, scores.correct)  # log(10), and one in ten: all are alike
  [2.3025851 2.3025851] [0.1 0.1]
  """
  _check(chunk_size)
  if chunk_size is None or chunk_size >= len(hidden):
    return _scores(_logits(hidden, table, bias), labels)
  return _chunked(hidden, table, bias, labels, chunk_size)


def vocabulary_loss(
  hidden: Float[Array, "*M E"],
  table: Float[Array, "V E"],
  labels: Int[Array, "*M"],
  *,
  weights: Float[Array, "*M"],
  bias: Float[Array, " V"] | None = None,
  chunk_size: int | None = None,
) -> WeightedScores:
  """The weighted sum of `vocabulary_cross_entropy`, its gradient made in the forward pass.

      loss = sum_m weights_m (logsumexp(logits_m) - logits_m[label_m])

  As the weights are known, a chunk's gradient can be taken while its logits are at hand: three
  products with the table instead of four, and at no time more than a chunk of logits. On a mesh
  each device goes through its own tokens, and gradients are summed over devices once, at the end.

  Args:
    hidden: features of tokens, as in `vocabulary_cross_entropy`, but with several axes of tokens
      where there are some, "B T".
    table: one row an entry of the vocabulary.
    labels: numbers of entries, all of them valid.
    weights: one number a token, such as the shares of `losses.tokens.token_weights`.
    bias: one number an entry, added to the logits; None adds nothing.
    chunk_size: most tokens of a device whose logits are held at once; nothing is computed again.
      None holds all logits.

  Raises:
    ValueError: for a chunk_size below 1.

  Reference: gradients in the forward pass as in Liger Kernel, arXiv 2410.10989, section 3.2. Ours
  differs in that tokens have weights, which have a gradient too.

  >>> hidden, table, labels = jnp.ones((2, 3)), jnp.zeros((10, 3)), jnp.array([4, 5])
  >>> scores = vocabulary_loss(hidden, table, labels, weights=jnp.array([0.25, 0.75]))
  >>> print(scores.loss, scores.correct)  # log(10), and one in ten: all are alike
  2.3025851 0.1
  """
  _check(chunk_size)

  def here(hidden, labels, weights, table, bias) -> WeightedScores:
    hidden = hidden.reshape(-1, hidden.shape[-1])  # *M E -> M E
    labels, weights = labels.reshape(-1), weights.reshape(-1)
    if chunk_size is None or chunk_size >= len(hidden):
      scores = _scores(_logits(hidden, table, bias), labels)
      return WeightedScores(jnp.vdot(weights, scores.loss), jnp.vdot(weights, scores.correct))
    return _weighted(hidden, table, bias, labels, weights, chunk_size)

  return collectives.by_rows(here, hidden, labels, weights, whole=(table, bias), total=True)


def _check(chunk_size: int | None) -> None:
  if chunk_size is not None and chunk_size < 1:
    raise ValueError(f"chunk_size={chunk_size}: expected at least 1")


def _logits(hidden, table, bias) -> Float[Array, "M V"]:
  table = table.astype(hidden.dtype)
  logits = jnp.einsum("me,ve->mv", hidden, table, preferred_element_type=jnp.float32)
  return logits if bias is None else logits + bias.astype(jnp.float32)[None]


def _scores(logits: Float[Array, "M V"], labels) -> TokenScores:
  chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
  highest = jax.lax.stop_gradient(jnp.max(logits, axis=1))
  total = jnp.sum(jnp.exp(logits - highest[:, None]), axis=1)
  # Not argmax, which XLA does not vectorise on a CPU; and a tie of all is no success.
  rivals = jnp.sum((logits >= highest[:, None]).astype(jnp.float32), axis=1)
  correct = (chosen >= highest).astype(jnp.float32) / rivals
  return TokenScores(loss=jnp.log(total) + highest - chosen, correct=correct)


def _slope(logits: Float[Array, "M V"], scores: TokenScores, labels, weights):
  """The gradient of sum(weights * loss) for the logits, "M V"."""
  chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
  normaliser = (scores.loss + chosen)[:, None]
  # A comparison melts into the loop over logits; a scatter would write them all once more.
  is_label = jnp.arange(logits.shape[1])[None] == labels[:, None]
  return (jnp.exp(logits - normaliser) - is_label.astype(jnp.float32)) * weights[:, None]


def _chunk_gradient(sums, hidden, slope, table):
  """Adds a chunk's gradient of table and bias to `sums`; returns them and that of hidden."""
  low = slope.astype(hidden.dtype)
  wide = {"preferred_element_type": jnp.float32}
  d_table, d_bias = sums
  d_table = d_table + jnp.einsum("mv,me->ve", low, hidden, **wide)
  d_bias = None if d_bias is None else d_bias + jnp.sum(slope, axis=0)
  d_hidden = jnp.einsum("mv,ve->me", low, table.astype(hidden.dtype), **wide)
  return (d_table, d_bias), d_hidden.astype(hidden.dtype)


def _zero_sums(table, bias):
  # Not jnp.zeros: within `collectives.by_rows` they must be known to differ by device, as the
  # table is, and as what is added does.
  return tuple(None if x is None else (0 * x).astype(jnp.float32) for x in (table, bias))


def _split(chunk_size: int, *arrays):
  """Arrays "M ..." as chunks "chunks size ...", filled up with zeros.

  A chunk takes every n-th token: if the tokens are spread over devices, so is each chunk.
  """
  count = len(arrays[0])
  chunks = -(-count // chunk_size)
  size = -(-count // chunks)

  def split(x):
    x = jnp.pad(x, ((0, chunks * size - count), *[(0, 0)] * (x.ndim - 1)))
    return jnp.swapaxes(x.reshape(size, chunks, *x.shape[1:]), 0, 1)  # M ... -> chunks size ...

  return tuple(map(split, arrays))


def _join(count: int, x: Float[Array, "chunks size *E"]) -> Float[Array, "M *E"]:
  x = jnp.swapaxes(x, 0, 1)
  return x.reshape(-1, *x.shape[2:])[:count]  # chunks size ... -> M ...


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _chunked(hidden, table, bias, labels, chunk_size: int) -> TokenScores:
  def score(part):
    return _scores(_logits(part[0], table, bias), part[1])

  scores = jax.lax.map(score, _split(chunk_size, hidden, labels))
  return TokenScores(*(_join(len(hidden), x) for x in scores))


def _chunked_forward(hidden, table, bias, labels, chunk_size):
  scores = _chunked(hidden, table, bias, labels, chunk_size)
  return scores, (hidden, table, bias, labels, scores)


def _chunked_backward(chunk_size, saved, cotangents):
  hidden, table, bias, labels, scores = saved

  def differentiate(sums, part):
    hidden, labels, *scores, weights = part
    logits = _logits(hidden, table, bias)
    slope = _slope(logits, TokenScores(*scores), labels, weights)
    return _chunk_gradient(sums, hidden, slope, table)

  parts = _split(chunk_size, hidden, labels, *scores, cotangents.loss)
  (d_table, d_bias), d_hidden = jax.lax.scan(differentiate, _zero_sums(table, bias), parts)
  d_bias = None if bias is None else d_bias.astype(bias.dtype)
  return _join(len(hidden), d_hidden), d_table.astype(table.dtype), d_bias, None


_chunked.defvjp(_chunked_forward, _chunked_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _weighted(hidden, table, bias, labels, weights, chunk_size: int) -> WeightedScores:
  scores = _chunked(hidden, table, bias, labels, chunk_size)
  return WeightedScores(jnp.vdot(weights, scores.loss), jnp.vdot(weights, scores.correct))


def _weighted_forward(hidden, table, bias, labels, weights, chunk_size):
  def both(sums, part):
    hidden, labels, weights = part
    logits = _logits(hidden, table, bias)
    scores = _scores(logits, labels)
    sums, d_hidden = _chunk_gradient(sums, hidden, _slope(logits, scores, labels, weights), table)
    return sums, (d_hidden, scores)

  parts = _split(chunk_size, hidden, labels, weights)
  (d_table, d_bias), (d_hidden, scores) = jax.lax.scan(both, _zero_sums(table, bias), parts)
  loss, correct = (_join(len(hidden), x) for x in scores)
  d_table = d_table.astype(table.dtype)
  d_bias = None if bias is None else d_bias.astype(bias.dtype)
  sums = WeightedScores(jnp.vdot(weights, loss), jnp.vdot(weights, correct))
  return sums, (_join(len(hidden), d_hidden), d_table, d_bias, None, loss)


def _weighted_backward(chunk_size, gradients, cotangents):
  del chunk_size
  factor = cotangents.loss
  return tuple(None if g is None else (g * factor).astype(g.dtype) for g in gradients)


_weighted.defvjp(_weighted_forward, _weighted_backward)
