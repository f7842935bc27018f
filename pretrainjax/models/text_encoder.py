"""What all encoders of text have in common: one feature a token, and one a text."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.config.follow import Follows, takes
from pretrainjax.models.layers.embedding import Pool, as_text, pool_text
from pretrainjax.types import Batch, Encoded, Text


class TextEncoder(nnx.Module):
  """Base of encoders of text; those that derive from it say what `sequence` is.

  Attributes:
    vocab_size: number of tokens in the vocabulary, V.
    max_length: tokens of the longest row.
    embed_dim: width of tokens, D.
    pool: "cls", "mean" or "last": how `pooled` is made, see `pool_text`.
    follows: what a config may leave open, see `config.follow`.
  """

  follows: ClassVar[Follows] = {
    "vocab_size": takes("prepared.vocab_size"),
    "max_length": takes("data.length"),
  }
  vocab_size: int
  max_length: int
  embed_dim: int
  pool: Pool

  def inputs(self, batch: Batch) -> Text:
    """Takes the text out of a batch, "B T", or "B V T" with several views."""
    return Text(batch["tokens"], batch["segments"], batch.get("types"))

  def __call__(
    self,
    inputs: Text | Int[Array | np.ndarray, "B T"],
    *,
    keep: Int[Array, "B M"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes text; the arguments are those of `sequence`, `keep` must be None."""
    if keep is not None:
      raise ValueError("keep: found indices, expected None, as text is encoded whole")
    text = as_text(inputs)
    tokens = self.sequence(text, deterministic=deterministic, rngs=rngs)
    valid = jnp.asarray(text.segments) > 0
    return Encoded(tokens, pool_text(tokens, valid=valid, pool=self.pool), valid)

  def sequence(
    self,
    inputs: Text | Int[Array | np.ndarray, "B T"],
    *,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Float[Array, "B T D"]:
    """The features of all tokens at the end of the network.

    Args:
      inputs: text, several documents a row perhaps, which do not see each other; or tokens alone,
        one document a row.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    raise NotImplementedError
