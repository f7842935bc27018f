"""The shape legend, and the protocols between the parts of the package.

Shape legend, used in every annotation of the package:

  B batch   V views   N tokens   M kept tokens   T text or time   S samples
  H W C image   D width   P pixels of one patch (patch height * width * C)   K classes
  words for the rest ("heads", "head_dim")

True means present: in `valid` and in any mask, True takes part.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Num

from pretrainjax.errors import UserError

# One step's host or device arrays by name. Images: "image" (B H W C, or B V H W C with
# several views; uint8 from the pipeline). Text: "tokens" and "segments" (int32 B T, or B V T
# with several texts an example), perhaps "types" (likewise). Sound: "audio" (int16 B S, at 16 kHz,
# 0 after its end) and "num_samples" (int32 B, the samples of each row that are sound); of those
# with a transcript "tokens" and "segments" (int32 B T, without special tokens). Users' histories:
# "items" (int32 B T, oldest first, 0 is padding at the end), "times" (int32 B T, seconds before the
# newest event of the row), "user" (int32 B), "target" (int32 B, 0 where the row has none) and
# "num_train" (int32 B, events of the user to train on). All: "label" (B), "valid" (B, absent = all
# True).
Batch = Mapping[str, Any]

# Scalars of one step by name.
Metrics = Mapping[str, Any]

# The size of an axis: a number, or while a program for all sizes is made (jax.export) a symbol.
AxisSize: TypeAlias = int | Any


class Text(NamedTuple):
  """The input of text encoders.

  Attributes:
    tokens: the token ids of each row.
    segments: the number of the document that each token belongs to, 1, 2, ... from left to right; 0
      is padding. A row that is not packed has one document.
    types: 0 and 1 for the first and second text of a pair; None where there are no pairs.
  """

  tokens: Int[Array, "B T"]
  segments: Int[Array, "B T"]
  types: Int[Array, "B T"] | None = None


class Sound(NamedTuple):
  """The input of encoders of sound.

  Attributes:
    audio: the samples of each row, int16 or floats in [-1, 1]; behind its end whatever is there is
      no part of the row.
    num_samples: the real samples of each row.
  """

  audio: Num[Array | np.ndarray, "B S"]
  num_samples: Int[Array | np.ndarray, " B"]


class Events(NamedTuple):
  """The input of encoders of users' histories.

  Attributes:
    items: the numbers of the items, oldest first, from 1; 0 is padding, at the end of a row.
    times: seconds before the newest event of the row, at least 0.
    user: the number of the user, from 0.
  """

  items: Int[Array | np.ndarray, "B T"]
  times: Int[Array | np.ndarray, "B T"]
  user: Int[Array | np.ndarray, " B"]


class Encoded(NamedTuple):
  """The output of encoders of every modality.

  Attributes:
    tokens: one feature a token, "B N D"; class and register tokens are not among them.
    pooled: one feature an example, "B D".
    valid: which tokens are real, "B N"; False is padding.
  """

  tokens: Float[Array, "B N D"]
  pooled: Float[Array, "B D"]
  valid: Bool[Array, "B N"]


@runtime_checkable
class Encoder(Protocol):
  """A network that maps inputs to features, and that other runs can take over."""

  embed_dim: int

  def inputs(self, batch: Batch) -> Any:
    """Takes the encoder's inputs out of a batch: images as they are, `Text`, `Sound`.

    Args:
      batch: the arrays by name; an axis of views is left in place, "B V ...".
    """
    ...

  def __call__(
    self,
    inputs: Any,
    *,
    keep: Int[Array, "B M"] | None = None,
    deterministic: bool = True,
    rngs: nnx.Rngs | None = None,
  ) -> Encoded:
    """Encodes a batch.

    Args:
      inputs: the inputs that `inputs` takes out of a batch, for images "B H W C".
      keep: the indices of the only tokens to encode, "B M"; None encodes all.
      deterministic: whether dropout and drop path are off; otherwise they need `rngs`.
      rngs: the PRNG keys of this call, which are not stored.
    """
    ...


@runtime_checkable
class Recommender(Encoder, Protocol):
  """An encoder of histories whose features can be compared with every item.

  score(user, item) = queries(encoded)[user] . vectors[item] + biases[item],  in float32

  """

  num_items: int

  def queries(self, encoded: Encoded) -> Float[Array, "B D"]:
    """What is compared with the items: the state that predicts what comes next.

    Args:
      encoded: the features of histories as `inputs` reads them of a batch.
    """
    ...

  def candidates(self) -> tuple[Float[Array, "V D"], Float[Array, " V"] | None]:
    """The vectors of all items, and their biases where they have some; V is num_items + 1.

    Row 0 is padding, which is never recommended.
    """
    ...


@runtime_checkable
class Evaluator(Protocol):
  """A measurement of an encoder, run during training and afterwards alike."""

  name: str
  every: int

  def run(self, encoder: Encoder) -> dict[str, float]:
    """Returns the numbers by name."""
    ...


def check_encoder(encoder: Any, *, key: str) -> None:
  """Refuses an object that lacks a part of the `Encoder` protocol.

  Args:
    encoder: the object that is used as an encoder.
    key: the key of the config that it comes from, such as "config.objective.backbone".

  Raises:
    UserError: naming the part that is missing.
  """
  for part in ("embed_dim", "inputs", "__call__"):
    if not hasattr(encoder, part):
      raise UserError(
        f"{key}: {type(encoder).__name__} has no '{part}', expected an encoder: embed_dim, "
        "inputs(batch), which returns what it reads of a batch, and a call that returns Encoded"
      )
