"""From features of sound to entries of learned codebooks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax import collectives
from pretrainjax.models.layers.drop import dropout as drop_values
from pretrainjax.ranges import PositiveInt, Rate, ranged


class Quantized(NamedTuple):
  """Frames as entries of codebooks.

  Attributes:
    codes: the chosen entries side by side, projected to the space of comparison.
    probabilities: the share of each entry before one is chosen, for each of the G codebooks.
    numbers: the chosen entry of each codebook.
  """

  codes: Float[Array, "B N P"]
  probabilities: Float[Array, "B N G V"]
  numbers: Int[Array, "B N G"]


class ProductQuantizer(nnx.Module):
  """Chooses an entry of each of several codebooks for a frame, and compares frames with choices.

  Args:
    in_dim: width of the features that are quantised, C.
    embed_dim: width of the encoder's tokens, D, which are compared with them.
    num_groups: number of codebooks, G.
    num_codes: number of entries of each, V.
    code_dim: width of the chosen entries side by side; num_groups must divide it.
    out_dim: width of the space of comparison, P.
    dropout: rate on the features, in [0, 1).
    rngs: keys for the initial parameters.

  Raises:
    ValueError: for a code_dim that num_groups does not divide.

  Reference: wav2vec 2.0, arXiv 2006.11477, section 2 (2 codebooks of 320 entries, widths 256).
  """

  @ranged
  def __init__(
    self,
    *,
    in_dim: PositiveInt,
    embed_dim: PositiveInt,
    num_groups: PositiveInt = 2,
    num_codes: PositiveInt = 320,
    code_dim: PositiveInt = 256,
    out_dim: PositiveInt = 256,
    dropout: Rate = 0.0,
    rngs: nnx.Rngs,
  ):
    if code_dim % num_groups:
      raise ValueError(f"num_groups={num_groups}: expected a divisor of code_dim={code_dim}")
    self.in_dim, self.embed_dim = in_dim, embed_dim
    self.num_groups, self.num_codes, self.dropout = num_groups, num_codes, dropout
    uniform = nnx.initializers.uniform(1.0)
    shape = (num_groups * num_codes, code_dim // num_groups)
    self.codebooks = nnx.Param(uniform(rngs.params(), shape))
    normal = nnx.initializers.normal(1.0)
    self.scores = nnx.Linear(in_dim, num_groups * num_codes, kernel_init=normal, rngs=rngs)
    self.project_code = nnx.Linear(code_dim, out_dim, rngs=rngs)
    self.project_token = nnx.Linear(embed_dim, out_dim, rngs=rngs)

  def __call__(
    self,
    features: Float[Array, "B N C"],
    *,
    temperature: Float[Array, ""] | float | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Quantized:
    """Quantises frames, in float32.

    Args:
      features: what the encoder's front end made of the sound.
      temperature: of the Gumbel softmax that entries are drawn by, whose gradient the choice gets;
        None takes the highest score, which has no gradient.
      deterministic: True switches dropout off.
      rngs: keys for this call.
    """
    random = {"deterministic": deterministic, "rngs": rngs}
    features = drop_values(features.astype(jnp.float32), rate=self.dropout, **random)
    logits = self.scores(features).reshape(*features.shape[:2], self.num_groups, self.num_codes)
    if temperature is None:
      numbers = jnp.argmax(logits, axis=-1)
      chosen = jax.nn.one_hot(numbers, self.num_codes)
    else:
      soft = jax.nn.softmax((logits + _gumbel(logits, rngs)) / temperature, axis=-1)
      numbers = jnp.argmax(soft, axis=-1)
      hard = jax.nn.one_hot(numbers, self.num_codes)
      chosen = soft + jax.lax.stop_gradient(hard - soft)
    books = self.codebooks[...].reshape(self.num_groups, self.num_codes, -1)
    entries = jnp.einsum("bngv,gvd->bngd", chosen, books)
    codes = self.project_code(entries.reshape(*features.shape[:2], -1))  # B N G d -> B N P
    return Quantized(codes, jax.nn.softmax(logits, axis=-1), numbers)

  def compared(self, tokens: Float[Array, "B N D"]) -> Float[Array, "B N P"]:
    """The encoder's tokens in the space of comparison."""
    return self.project_token(tokens.astype(jnp.float32))


def _gumbel(logits: Float[Array, "B N G V"], rngs: nnx.Rngs | None) -> Float[Array, "B N G V"]:
  if rngs is None:
    raise ValueError("temperature: entries that are drawn need rngs=")
  keys = collectives.example_keys(rngs.sample(), len(logits))
  return jax.vmap(lambda key: jax.random.gumbel(key, logits.shape[1:]))(keys)
