"""Connectionist temporal classification: the likelihood of a transcript, whatever its timing."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int


def ctc_loss(
  logits: Float[Array, "B N K"],
  labels: Int[Array, "B T"],
  *,
  valid: Bool[Array, "B N"],
  present: Bool[Array, "B T"],
  blank_id: int = 0,
) -> Float[Array, " B"]:
  """Minus the log-probability, in nats, of each transcript, summed over all its alignments.

      loss = -log sum over paths p that spell the labels of prod_n softmax(logits_n)[p_n]

  A path has one class a frame. It spells what is left once repetitions are merged and blanks are
  taken out, so that two equal labels in a row need a blank between them. An empty transcript has
  one path, of blanks alone.

  Args:
    logits: the scores of all classes in each frame, of any float dtype; summed in float32.
    labels: the transcripts, which have no blanks.
    valid: True for real frames.
    present: True for the labels of a transcript, between which others may stand.
    blank_id: the class of the blank, below K.

  Returns:
    One value an example, at least 0. It is 0, without gradient, where `can_align` is False.

  Reference: Graves et al. 2006, ICML (not on arXiv). Ours is optax's, kept from falling below 0 by
    rounding (google-deepmind/optax#1771).

  >>> logits = jnp.zeros((1, 2, 3))  # the paths 11, 01 and 10 of nine spell "1"
  >>> valid, present = jnp.ones((1, 2), bool), jnp.ones((1, 1), bool)
  >>> loss = ctc_loss(logits, jnp.array([[1]]), valid=valid, present=present)
  >>> round(float(jnp.exp(-loss[0])), 4)
  0.3333
  """
  fits = can_align(labels, valid=valid, present=present)
  labels, present = left_aligned(labels, present)
  loss = optax.ctc_loss(
    logits.astype(jnp.float32),
    1.0 - valid.astype(jnp.float32),
    labels,
    1.0 - present.astype(jnp.float32),
    blank_id=blank_id,
  )
  return jnp.where(fits, jnp.maximum(loss, 0.0), 0.0)


def can_align(
  labels: Int[Array, "B T"], *, valid: Bool[Array, "B N"], present: Bool[Array, "B T"]
) -> Bool[Array, " B"]:
  """Whether a row has frames enough for its labels, and for a blank between two that are equal.

  Args:
    labels: the transcripts, as of `ctc_loss`.
    valid: True for real frames.
    present: True for the labels of a transcript.

  >>> labels, valid = jnp.array([[7, 7, 8], [7, 9, 8]]), jnp.ones((2, 3), bool)
  >>> can_align(labels, valid=valid, present=jnp.ones((2, 3), bool)).tolist()
  [False, True]
  """
  labels, present = left_aligned(labels, present)
  repeats = (labels[:, 1:] == labels[:, :-1]) & present[:, 1:]
  return valid.sum(axis=1) >= present.sum(axis=1) + repeats.sum(axis=1)


def left_aligned(
  labels: Int[Array, "B T"], present: Bool[Array, "B T"]
) -> tuple[Int[Array, "B T"], Bool[Array, "B T"]]:
  """The labels that are present first, in their order.

  >>> labels, present = jnp.array([[2, 7, 3, 8]]), jnp.array([[False, True, False, True]])
  >>> [array.tolist() for array in left_aligned(labels, present)]
  [[[7, 8, 2, 3]], [[True, True, False, False]]]
  """
  order = jnp.argsort(~present, axis=1, stable=True)
  return tuple(jnp.take_along_axis(x, order, axis=1) for x in (labels, present))
