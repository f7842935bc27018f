"""What all encoders of sound have in common: what they read, and one feature a frame."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from pretrainjax.models.layers.frames import Frames
from pretrainjax.types import Batch, Encoded, Sound


class SoundEncoder(nnx.Module):
  """Base of encoders of sound; those that derive from it say what `features` and `encode` are.

  The two are apart so that an objective can change what lies between: it hides frames, adds noise,
  or makes its targets of them.

  Attributes:
    embed_dim: width of tokens, D.
    sample_rate: samples a second of the sound that is read.
  """

  embed_dim: int
  sample_rate: int = 16_000

  def inputs(self, batch: Batch) -> Sound:
    """Takes the sound out of a batch."""
    return Sound(batch["audio"], batch["num_samples"])

  def __call__(
    self,
    inputs: Sound,
    *,
    keep: Int[Array, "B M"] | None = None,
    masked: Bool[Array, "B N"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes sound.

    Args:
      inputs: samples, and how many of each row are real: what follows them changes nothing.
      keep: must be None, as frames are encoded together.
      masked: True for frames whose features a learned vector takes the place of.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call.
    """
    if keep is not None:
      raise ValueError("keep: found indices, expected None, as sound is encoded whole")
    random = {"deterministic": deterministic, "rngs": rngs}
    return self.encode(self.features(inputs), masked=masked, **random)

  @property
  def receptive_field(self) -> int:
    """The number of samples that a frame stands on."""
    raise NotImplementedError

  def valid(self, inputs: Sound) -> Bool[Array, "B N"]:
    """Which tokens are real, as `Encoded.valid` has it, without the work of encoding."""
    raise NotImplementedError

  def features(self, inputs: Sound) -> Frames:
    """What the front end makes of samples."""
    raise NotImplementedError

  def encode(
    self,
    frames: Frames,
    *,
    masked: Bool[Array, "B N"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes what `features` returned, or what was made of it.

    Args:
      frames: the features, and which frames are real.
      masked: True for frames that are hidden, see `__call__`.
      deterministic: True switches dropout and drop path off.
      rngs: keys for this call.
    """
    raise NotImplementedError


def hide(
  x: Float[Array, "B N D"], masked: Bool[Array, "B N"] | None, *, vector: nnx.Variable | None
) -> Float[Array, "B N D"]:
  """Puts a learned vector in the place of frames.

  Args:
    x: the features of all frames.
    masked: True for those that are hidden; None hides none.
    vector: what stands in their place.

  Raises:
    ValueError: where there is something to hide, and no vector.
  """
  if masked is None:
    return x
  if vector is None:
    raise ValueError("masked: this encoder has no vector for hidden frames, use_mask=True has one")
  return jnp.where(masked[..., None], vector[...].astype(x.dtype).reshape(1, 1, -1), x)
