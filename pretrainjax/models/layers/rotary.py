"""Rotary positions: channels of queries and keys turned by an angle that grows with the place."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pretrainjax.models.layers.scope import Rotary


def rotary_angles(positions: Int[Array, "B N"], *, head_dim: int, theta: float) -> Rotary:
  """The cosines and sines of the angles of every place, in float32.

  Args:
    positions: the positions of the tokens in their documents.
    head_dim: channels of one head, an even number.
    theta: base of the wavelengths, 10,000 in the paper.

  Raises:
    ValueError: for an odd head_dim.

  Reference: RoFormer, arXiv 2104.09864, section 3.2.2.
  """
  if head_dim % 2:
    raise ValueError(f"head_dim={head_dim}: rotary positions need an even number")
  frequencies = theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
  angles = positions[..., None].astype(jnp.float32) * frequencies.reshape(1, 1, -1)
  return Rotary(cos=jnp.cos(angles), sin=jnp.sin(angles))


def rotate(
  x: Float[Array, "B N heads head_dim"], rotary: Rotary
) -> Float[Array, "B N heads head_dim"]:
  """Turns pairs of channels (i, i + head_dim / 2), the layout of Llama in Hugging Face.

  Args:
    x: queries or keys; the result has their dtype, the computation is float32.
    rotary: the angles of the same places.
  """
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  cos, sin = rotary.cos[:, :, None, :], rotary.sin[:, :, None, :]
  turned = [first * cos - second * sin, second * cos + first * sin]
  return jnp.concatenate(turned, axis=-1).astype(x.dtype)
