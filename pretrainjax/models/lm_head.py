"""What masked language models put on top of their tokens."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.block import make_norm
from pretrainjax.models.layers.mlp import Activation
from pretrainjax.models.layers.mlp import activation as activate
from pretrainjax.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, ranged


class MaskedLMHead(nnx.Module):
  """A linear layer, an activation, a norm; then scores against the encoder's table of tokens.

  The table is no parameter of the head: it is given at each call, so that it is stored once.

  Args:
    embed_dim: width of the encoder's tokens, D.
    vocab_size: number of tokens in the vocabulary, V.
    embedding_dim: width of the table, E; None is embed_dim.
    activation: between linear layer and norm.
    eps: the number added to the norm's variance: 1e-12 in BERT and ELECTRA, 1e-5 in RoBERTa and
      ModernBERT.
    norm: "layer", or "layer_scale", which has no shift (ModernBERT).
    use_bias: whether the linear layer has a bias; False in ModernBERT. (Scores always have one.)
    init_std: standard deviation of the truncated normal distribution, cut off at two of it, that
      weights start from.
    dtype: the dtype of the computation; parameters are float32.
    rngs: keys for the initial parameters.

  Reference: arXiv 1810.04805, appendix A.2 and the authors' code.
  """

  @ranged
  def __init__(
    self,
    *,
    embed_dim: PositiveInt,
    vocab_size: PositiveInt,
    embedding_dim: PositiveInt | None = None,
    activation: Activation = "gelu",
    eps: PositiveFloat = 1e-12,
    norm: Literal["layer", "layer_scale"] = "layer",
    use_bias: bool = True,
    init_std: NonNegativeFloat = 0.02,
    dtype: Literal["float32", "bfloat16"] = "float32",
    rngs: nnx.Rngs,
  ):
    self.embed_dim, self.vocab_size, self.activation = embed_dim, vocab_size, activation
    self.embedding_dim = width = embed_dim if embedding_dim is None else embedding_dim
    self.dtype = dtype
    init = nnx.initializers.truncated_normal(init_std)
    linear = {"use_bias": use_bias, "dtype": dtype, "kernel_init": init, "rngs": rngs}
    self.dense = nnx.Linear(embed_dim, width, **linear)
    self.norm = make_norm(norm, embed_dim=width, eps=eps)
    self.bias = nnx.Param(jnp.zeros((vocab_size,), jnp.float32))

  def transform(self, hidden: Float[Array, "B *N D"]) -> Float[Array, "B *N E"]:
    """The features to multiply with the table; losses take them, to never hold all scores."""
    return self.norm(activate(self.activation)(self.dense(hidden)))

  def __call__(
    self, hidden: Float[Array, "B *N D"], table: Float[Array | np.ndarray, "V E"]
  ) -> Float[Array, "B *N V"]:
    """Scores of all tokens of the vocabulary, in float32.

    Args:
      hidden: tokens of an encoder.
      table: its token embeddings.
    """
    x = self.transform(hidden)
    table = jnp.asarray(table).astype(x.dtype)
    logits = jnp.einsum("...e,ve->...v", x, table, preferred_element_type=jnp.float32)
    return logits + self.bias[...].reshape(*[1] * (logits.ndim - 1), -1)
