"""Networks that name what they see: features in, the number of the nearest code out."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax import collectives
from pretrainjax.models.kmeans import nearest
from pretrainjax.ranges import PositiveInt, ranged

# Added under roots, where a row may be zero.
_EPS = 1e-12


class FixedCodes(nnx.Variable):
  """Numbers of a quantizer that no gradient and no optimizer moves."""


class RandomProjectionQuantizer(nnx.Module):
  """A frozen random projection, and the nearest of frozen random codes by cosine; BEST-RQ's.

      code(x) = argmax_v  <c_v, A x> / (|c_v| |A x|)

  Nothing of it is ever trained. Rows must be normalised before, or a few codes take all of them.

  Args:
    in_dim: width of the rows, F: stacked frames.
    num_codes: the number of codes of a codebook, V.
    code_dim: width of a code, D.
    num_codebooks: C, each with a projection of its own (arXiv 2501.16131).
    rngs: keys for the numbers.

  Reference: arXiv 2202.01855, section 3.1: A is Xavier-uniform, the codes standard normal.
  """

  @ranged
  def __init__(
    self,
    *,
    in_dim: PositiveInt,
    num_codes: PositiveInt = 8192,
    code_dim: PositiveInt = 16,
    num_codebooks: PositiveInt = 1,
    rngs: nnx.Rngs,
  ):
    self.in_dim, self.num_codes, self.num_codebooks = in_dim, num_codes, num_codebooks
    xavier = nnx.initializers.variance_scaling(1.0, "fan_avg", "uniform", batch_axis=0)
    self.projections = FixedCodes(xavier(rngs.params(), (num_codebooks, in_dim, code_dim)))
    normal = jax.random.normal(rngs.params(), (num_codebooks, num_codes, code_dim))
    self.codes = FixedCodes(normal / jnp.linalg.norm(normal, axis=-1, keepdims=True))

  def __call__(self, rows: Float[Array, "B N F"]) -> Int[Array, "B N C"]:
    """The number of each row's code in each codebook, in [0, V)."""
    projected = jnp.einsum("bnf,cfd->bncd", rows.astype(jnp.float32), self.projections[...])
    # Lengths of projected rows do not change which code is the nearest by cosine.
    return jnp.argmax(jnp.einsum("bncd,cvd->bncv", projected, self.codes[...]), axis=-1)


class NearestCentroid(nnx.Module):
  """The nearest of centroids that k-means found, by squared distance; HuBERT's units.

  Made with zeros: what `kmeans.fit` finds is put in before the first step.

  Args:
    in_dim: width of the rows, F.
    num_codes: the number of centroids, V.
    rngs: not used; every network takes it.
  """

  num_codebooks = 1

  @ranged
  def __init__(self, *, in_dim: PositiveInt, num_codes: PositiveInt = 500, rngs: nnx.Rngs):
    del rngs
    self.in_dim, self.num_codes = in_dim, num_codes
    self.centroids = FixedCodes(jnp.zeros((num_codes, in_dim)))

  def __call__(self, rows: Float[Array, "B N F"]) -> Int[Array, "B N 1"]:
    """The number of each row's centroid, in [0, V)."""
    flat = rows.astype(jnp.float32).reshape(-1, self.in_dim)  # B N F -> B*N F
    return nearest(flat, self.centroids[...]).reshape(*rows.shape[:2], 1)


def perplexity(
  codes: Int[Array, "*N"], weights: Float[Array, "*N"] | Bool[Array, "*N"], *, num_codes: int
) -> Float[Array, ""]:
  """How many codes are in use: exp of the entropy of their shares, in [1, V].

  Args:
    codes: numbers in [0, V).
    weights: 0 for rows that do not count.
    num_codes: the number of codes, V.

  >>> float(perplexity(jnp.array([0, 3, 3, 0]), jnp.ones(4), num_codes=5))
  2.0
  """
  counts = jnp.zeros(num_codes).at[codes.reshape(-1)].add(weights.reshape(-1).astype(jnp.float32))
  counts = collectives.mean(counts)  # of all devices
  share = counts / jnp.maximum(jnp.sum(counts), _EPS)
  return jnp.exp(-jnp.sum(share * jnp.log(jnp.maximum(share, _EPS))))
