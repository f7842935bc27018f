"""What predicts units of sound: scores of each token against every code of each codebook."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.models.layers.norm import l2_normalize
from pretrainjax.ranges import NonNegativeFloat, PositiveFloat, PositiveInt, ranged


class UnitHead(nnx.Module):
  """A linear layer over codes, or cosines with learned ones.

      scores = W x + b,   or   cos(P x, e_v) / temperature

  Args:
    in_dim: width of the tokens, D.
    num_codes: the number of codes of a codebook, V.
    num_codebooks: C; each has scores of its own.
    code_dim: width E of learned codes that cosines are taken with, 256 in HuBERT; None is a linear
      layer, as in BEST-RQ.
    temperature: what cosines are divided by.
    init_std: standard deviation of the normal distribution that weights start from.
    rngs: keys for the initial parameters.

  Reference: HuBERT, arXiv 2106.07447, equation 3, whose codes start uniform in [0, 1).
  """

  @ranged
  def __init__(
    self,
    *,
    in_dim: PositiveInt,
    num_codes: PositiveInt,
    num_codebooks: PositiveInt = 1,
    code_dim: PositiveInt | None = None,
    temperature: PositiveFloat = 0.1,
    init_std: NonNegativeFloat = 0.02,
    rngs: nnx.Rngs,
  ):
    self.in_dim, self.num_codes, self.num_codebooks = in_dim, num_codes, num_codebooks
    self.temperature = temperature
    self.is_cosine = code_dim is not None
    normal = nnx.initializers.normal(init_std)
    if code_dim is None:
      shape = (num_codebooks, num_codes, in_dim)
      self.table, self.projection = nnx.Param(normal(rngs.params(), shape)), None
      self.bias = nnx.Param(jnp.zeros(shape[:2]))
      return
    self.projection = nnx.Linear(in_dim, num_codebooks * code_dim, kernel_init=normal, rngs=rngs)
    uniform = nnx.initializers.uniform(1.0)
    self.table = nnx.Param(uniform(rngs.params(), (num_codebooks, num_codes, code_dim)))
    self.bias = None

  def rows(self, tokens: Float[Array, "B N D"], codebook: int) -> Float[Array, "B N E"]:
    """What is compared with the codes of a codebook."""
    if self.projection is None:
      return tokens
    width = self.table.shape[-1]
    projected = self.projection(tokens)[..., codebook * width : (codebook + 1) * width]
    return l2_normalize(projected) / self.temperature

  def codes(self, codebook: int) -> Float[Array, "V E"]:
    """The codes of a codebook, which the products are taken with."""
    codes = self.table[...][codebook]
    return l2_normalize(codes) if self.is_cosine else codes

  def offsets(self, codebook: int) -> Float[Array, " V"] | None:
    """What is added to the scores; None adds nothing."""
    return None if self.bias is None else self.bias[...][codebook]
