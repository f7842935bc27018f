"""Contrast within a row: a token finds its own code among those of other tokens of its row."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from pretrainjax import collectives
from pretrainjax.models.layers.norm import l2_normalize


class InUtterance(NamedTuple):
  """The scores of each token against its code and the distractors.

  Attributes:
    loss: cross-entropy of finding the code, in nats; without meaning where a row has no distractor.
    correct: 1 where no distractor is nearer than the code; without gradient.
  """

  loss: Float[Array, "B N"]
  correct: Float[Array, "B N"]


def distractors(
  key: Key[Array, ""], hidden: Bool[Array, "B N"], *, count: int
) -> Int[Array, "B N K"]:
  """Draws tokens of the same row that are hidden too, uniformly, with replacement, never itself.

  Args:
    key: the step's key, equal on all devices.
    hidden: True for the tokens that are compared.
    count: the number of distractors of each token, K.

  Returns:
    Positions; of a token that is not hidden, or the only hidden one of its row, without meaning.

  Reference: wav2vec 2.0, arXiv 2006.11477, section 3.2.

  >>> hidden = jnp.array([[False, True, True, False]])
  >>> places = distractors(jax.random.key(0), hidden, count=2)
  >>> places[0, 1].tolist(), places[0, 2].tolist()
  ([2, 2], [1, 1])
  """
  batch_size, length = hidden.shape

  def one(key, hidden):
    places = jnp.argsort(~hidden, stable=True)  # hidden ones first
    rank = jnp.cumsum(hidden) - 1
    others = jnp.maximum(jnp.sum(hidden) - 1, 1)
    drawn = jnp.floor(jax.random.uniform(key, (length, count)) * others).astype(int)
    drawn = jnp.minimum(drawn, others - 1)  # uniform may round up
    return places[jnp.minimum(drawn + (drawn >= rank[:, None]), length - 1)]

  return jax.vmap(one)(collectives.example_keys(key, batch_size), hidden)


def in_utterance_contrast(
  tokens: Float[Array, "B N P"],
  codes: Float[Array, "B N P"],
  numbers: Int[Array, "B N G"],
  places: Int[Array, "B N K"],
  *,
  temperature: float,
) -> InUtterance:
  """Scores each token against its own code and the codes of its distractors.

      loss_t = log(sum over q in {q_t, distractors} of exp(cos(c_t, q) / T)) - cos(c_t, q_t) / T

  Distractors with the same code as the token's own do not count. Cosines of all pairs of a row are
  taken first, which costs less than gathering a code for each distractor.

  Args:
    tokens: the encoder's tokens, c, of any length.
    codes: the codes, q, of any length.
    numbers: the entries of the codebooks that make each code.
    places: the positions of each token's distractors.
    temperature: T, above 0.

  Reference: wav2vec 2.0, arXiv 2006.11477, equation 3.

  >>> tokens, numbers = jnp.ones((1, 2, 3)), jnp.array([[[0], [1]]])
  >>> places = jnp.array([[[1, 1, 1], [0, 0, 0]]])
  >>> scores = in_utterance_contrast(tokens, tokens, numbers, places, temperature=0.1)
  >>> print(scores.loss.round(4))  # log(4): all four are as near
  [[1.3863 1.3863]]
  """
  cosines = jnp.einsum("bnp,bmp->bnm", l2_normalize(tokens), l2_normalize(codes)) / temperature
  own = jnp.diagonal(cosines, axis1=1, axis2=2)  # B N
  scores = jnp.take_along_axis(cosines, places, axis=2)
  theirs = jax.vmap(lambda rows, place: rows[place])(numbers, places)  # B N K G
  is_same = jnp.all(theirs == numbers[:, :, None], axis=-1)
  scores = jnp.where(is_same, -jnp.inf, scores)
  total = jax.nn.logsumexp(jnp.concatenate([own[..., None], scores], axis=-1), axis=-1)
  correct = jnp.max(scores, axis=-1) < own
  return InUtterance(total - own, jax.lax.stop_gradient(correct.astype(jnp.float32)))
