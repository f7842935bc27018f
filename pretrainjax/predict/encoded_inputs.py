"""What a user gives, encoded part by part: what `embed` and `classify` share of all modalities."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from pretrainjax.checkpoint.fingerprint import fingerprint
from pretrainjax.objectives.split import split
from pretrainjax.predict.parts import in_parts
from pretrainjax.types import Encoder

_SHOWN = 5


class Part(NamedTuple):
  """Some of what was given, encoded.

  Attributes:
    features: the pooled features, float32 "N D".
    names: what each is called; () where the user's file itself has them, as texts.
    missing: what could not be read, "NAME (REASON)".
  """

  features: Float[np.ndarray, "N D"]
  names: Sequence[str] = ()
  missing: Sequence[str] = ()


@runtime_checkable
class Inputs(Protocol):
  """What a user gives to be encoded: images, sounds or texts, in an order.

  Attributes:
    kind: what they are, for messages, "images".
  """

  kind: ClassVar[str]

  if TYPE_CHECKING:  # an isinstance check would read it, which opens a prepared set

    @property
    def num_examples(self) -> int:
      """The number of them."""
      ...

  @property
  def part_size(self) -> int:
    """Examples of a part: what a command that is stopped loses at most."""
    ...

  def identity(self) -> dict[str, Any]:
    """All that the features depend on, beside the encoder; plain values."""
    ...

  def encoded(self, encoder: Encoder, start: int, count: int) -> Part:
    """Encodes so many of them, from one on; asked for in order, of which some may be left out.

    Raises:
      UserError: for features that are not finite.
    """
    ...


def identity_of(inputs: Inputs, encoder: Any) -> dict[str, Any]:
  """All that the features of inputs depend on."""
  parameters = sum(fingerprint(split(encoder)[1]).values())
  return inputs.identity() | {"parameters": parameters, "examples_a_part": inputs.part_size}


def encoded_parts(
  inputs: Inputs,
  encoder: Any,
  folder: Path,
  *,
  arrays: Callable[[Float[np.ndarray, "N D"]], Mapping[str, np.ndarray]],
) -> Iterator[dict[str, np.ndarray]]:
  """Yields what is kept of all parts, of which some may lie in their folder already.

  Args:
    inputs: the examples that are encoded.
    encoder: the encoder of the run.
    folder: the folder of the parts, claimed by this command.
    arrays: what is kept of a part's features, by names.

  Returns:
    For each part these arrays, "names" and "missing".
  """

  def make(start: int, size: int) -> dict[str, np.ndarray]:
    part = inputs.encoded(encoder, start, size)
    texts = {"names": part.names, "missing": part.missing}
    said = {name: np.array(list(found), dtype=np.str_) for name, found in texts.items()}
    return dict(arrays(part.features)) | said

  names = (*arrays(np.zeros((0, encoder.embed_dim), np.float32)), "names", "missing")
  size = inputs.part_size
  yield from in_parts(folder, inputs.num_examples, size=size, names=names, make=make)


def left_out(missing: Sequence[str]) -> str:
  """What is said of what could not be read."""
  return f"left out {len(missing)} that cannot be read: {'; '.join(missing[:_SHOWN])}"
