"""Scores anchors against the candidates of all devices, which go round the ring of devices.

A file's letters: A anchors of this device, C candidates of this device, D features.
The blocks of candidates go round the ring of devices, as in ring attention (arXiv 2310.01889):
each device holds A x C logits at once, never A x (devices * C). In the backward pass a block's
gradient travels with it and is home when the round is over. The gradient is written by hand, for
JAX's own would keep every block.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pretrainjax import collectives

# Most logits of a device at once, 64 MiB in float32; more anchors are taken in parts.
_MAX_LOGITS = 2**24


class CandidateScores(NamedTuple):
  """The scores of anchors against all candidates.

  Attributes:
    log_total: log of the sum of exp(logit) over all candidates.
    correct: 1 where the labelled candidate alone has the highest logit, 1/n where it shares it
      with others, n in all, else 0; without gradient.
  """

  log_total: Float[Array, " A"]
  correct: Float[Array, " A"]


class _Partial(NamedTuple):
  """The scores of each anchor against some of the candidates, to be merged with the others'."""

  highest: Float[Array, " A"]  # 0 where all logits are -inf
  total: Float[Array, " A"]  # of exp(logit - highest)
  ties: Float[Array, " A"]  # candidates with the highest logit
  labelled: Float[Array, " A"]  # the label's logit, -inf where it is not among them


def score_candidates(
  anchors: Float[Array, "A D"],
  candidates: Float[Array, "C D"],
  *,
  labels: Int[Array, " A"],
  excluded: Int[Array, " A"],
) -> CandidateScores:
  """Scores anchors against the candidates of all devices, the logits being dot products.

      log_total_a = log sum_(c != excluded_a) exp(anchor_a . candidate_c)

  Args:
    anchors: this device's anchors in float32, scaled as the logits are to be.
    candidates: this device's candidates in float32; those of all others count as well.
    labels: the number of each anchor's own candidate, counted over all devices.
    excluded: the number of a candidate that an anchor leaves out, such as itself; -1 is none.

  >>> scores = score_candidates(
  ...   jnp.zeros((1, 2)), jnp.eye(2), labels=jnp.array([0]), excluded=jnp.array([-1])
  ... )
  >>> print(f"{scores.log_total[0]:.4f}", scores.correct)  # log(2), one in two
  0.6931 [0.5]
  """
  log_total, correct = _scores(anchors, candidates, labels, excluded)
  return CandidateScores(log_total, jax.lax.stop_gradient(correct))


@jax.custom_vjp
def _scores(anchors, candidates, labels, excluded):
  return _forward(anchors, candidates, labels, excluded)[0]


def _forward(anchors, candidates, labels, excluded):
  def score(block, turn) -> _Partial:
    first = _owner(turn) * len(block)
    fn = functools.partial(_score_block, block=block, first=first)
    return _in_parts(fn, (anchors, labels, excluded), len(block))[0]

  def turn(carry, number):
    block, found = carry
    block = collectives.from_next(block)
    return (block, _merge(found, score(block, number))), None

  found = score(candidates, 0)
  if (shards := collectives.num_shards()) > 1:
    (_, found), _ = jax.lax.scan(turn, (candidates, found), jnp.arange(1, shards))
  log_total = jnp.log(found.total) + found.highest
  correct = (found.labelled >= found.highest).astype(jnp.float32) / found.ties
  return (log_total, correct), (anchors, candidates, excluded, log_total)


def _backward(saved, cotangents):
  anchors, candidates, excluded, log_total = saved
  weights = cotangents[0]

  def differentiate(block, turn):
    first = _owner(turn) * len(block)
    fn = functools.partial(_block_gradient, block=block, first=first)
    return _in_parts(fn, (anchors, excluded, log_total, weights), len(block))

  def turn(carry, number):
    block, d_anchors, d_block = carry
    block, d_block = collectives.from_next((block, d_block))
    more, here = differentiate(block, number)
    return (block, d_anchors + more, d_block + here), None

  d_anchors, d_block = differentiate(candidates, 0)
  if (shards := collectives.num_shards()) > 1:
    carry = (candidates, d_anchors, d_block)
    (_, d_anchors, d_block), _ = jax.lax.scan(turn, carry, jnp.arange(1, shards))
    d_block = collectives.from_next(d_block)  # home
  return d_anchors, d_block, None, None


_scores.defvjp(_forward, _backward)


def _owner(turn):
  """Whose candidates are here in a turn, when each device hands its own to the one before."""
  shards = collectives.num_shards()
  return (collectives.row_offset(1) + turn) % shards if shards > 1 else 0


def _logits(anchors, block, excluded, first) -> Float[Array, "A C"]:
  logits = jnp.einsum("ad,cd->ac", anchors, block)
  is_excluded = (first + jnp.arange(len(block)))[None] == excluded[:, None]
  return jnp.where(is_excluded, -jnp.inf, logits)


def _score_block(anchors, labels, excluded, *, block, first) -> tuple[_Partial, tuple]:
  """The scores against a block of candidates, and nothing to be summed over anchors."""
  logits = _logits(anchors, block, excluded, first)
  highest = jnp.max(logits, axis=1)
  highest = jnp.where(jnp.isneginf(highest), 0.0, highest)
  is_label = (first + jnp.arange(len(block)))[None] == labels[:, None]
  found = _Partial(
    highest=highest,
    total=jnp.sum(jnp.exp(logits - highest[:, None]), axis=1),
    ties=jnp.sum((logits >= highest[:, None]).astype(jnp.float32), axis=1),
    labelled=jnp.max(jnp.where(is_label, logits, -jnp.inf), axis=1),
  )
  return found, ()


def _merge(a: _Partial, b: _Partial) -> _Partial:
  """The scores against the candidates of both."""
  highest = jnp.maximum(jnp.where(a.total > 0, a.highest, b.highest), b.highest)
  highest = jnp.where(b.total > 0, highest, a.highest)
  totals = [found.total * jnp.exp(found.highest - highest) for found in (a, b)]
  ties = [jnp.where(found.highest >= highest, found.ties, 0.0) for found in (a, b)]
  return _Partial(highest, sum(totals), sum(ties), jnp.maximum(a.labelled, b.labelled))


def _block_gradient(anchors, excluded, log_total, weights, *, block, first):
  """The gradient of sum(weights * log_total) for the anchors and for a block of candidates."""
  logits = _logits(anchors, block, excluded, first)
  slope = jnp.exp(logits - log_total[:, None]) * weights[:, None]
  return jnp.einsum("ac,cd->ad", slope, block), jnp.einsum("ac,ad->cd", slope, anchors)


def _in_parts(fn, by_anchor: tuple, num_candidates: int):
  """Computes fn(*by_anchor) in as many equal parts of the anchors as memory asks for.

  `fn` returns arrays with a row an anchor, and arrays that are summed over the parts.
  """
  num_anchors = len(by_anchor[0])
  wanted = -(-num_anchors * num_candidates // _MAX_LOGITS)
  num_parts = next(n for n in range(wanted, num_anchors + 1) if num_anchors % n == 0)
  if num_parts == 1:
    return fn(*by_anchor)

  def add(total, part):
    found, more = fn(*part)
    return jax.tree.map(jnp.add, total, more), found

  parts = jax.tree.map(lambda x: x.reshape(num_parts, -1, *x.shape[1:]), by_anchor)
  start, total = fn(*jax.tree.map(lambda x: x[0], parts))
  total, others = jax.lax.scan(add, total, jax.tree.map(lambda x: x[1:], parts))

  def join(x, y):
    return jnp.concatenate([x, y.reshape(-1, *y.shape[2:])])

  return jax.tree.map(join, start, others), total
