"""Batches of examples that have several fields, such as an image and its text."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from pretrainjax.data.field import Field
from pretrainjax.data.fields.together import Together
from pretrainjax.data.pipeline import Pipeline
from pretrainjax.data.windows import Window, read_windows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset(Pipeline):
  """Examples of one dataset, or of several mixed, with the arrays of all fields.

  Attributes:
    fields: the fields by name, in a config `fields={"image": spec(ImageField, ...), "text":
      spec(TextField, ...)}`; a flag is then `--config.data.fields.text.length=32`.

  The others are those of `Pipeline`.
  """

  fields: Mapping[str, Field]

  def make_field(self) -> Together:
    """Makes the field of all arrays, see `Pipeline`."""
    return Together(self.fields)

  def windows(self, places: Sequence[int] | Int[np.ndarray, " B"]) -> list[Window]:
    """See `TextData`."""
    return read_windows(self, places)

  @property
  def tag_names(self) -> tuple[str, ...]:
    """See `Field`."""
    return self.field.tag_names

  @property
  def bytes_per_token(self) -> float:
    """See `Field`."""
    return self.field.bytes_per_token
