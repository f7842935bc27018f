"""Batches of text."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Int

from pretrainjax.config.follow import Follows, at_most, takes
from pretrainjax.data.fields.text import TextField
from pretrainjax.data.pipeline import Pipeline
from pretrainjax.data.windows import Window, read_windows
from pretrainjax.ranges import LARGEST, PositiveInt, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextData(Pipeline):
  """Texts of a prepared dataset, or of several mixed: "tokens" and "segments", int32.

  Attributes:
    length: the length of a row, see `TextField`.
    pair: what becomes of a second text, likewise; "views" makes two rows an example, "B 2 T".
    views: the same rows so often, "B V T", for objectives that compare an example with itself.
    word_starts: add "starts", True where a token begins a word.
    buckets: lengths that rows may have in training, see `TextField`; 1 gives all `length`.

  The others are those of `Pipeline`.
  """

  length: Annotated[int, Range(4, LARGEST)]
  pair: Literal["joint", "views", "prompt", "first", "second"] = "joint"
  views: PositiveInt = 1
  word_starts: bool = False
  buckets: PositiveInt = 1

  follows: ClassVar[Follows] = {
    "length": (
      *takes("data.length", "objective.backbone.max_length", "prepared.length"),
      *at_most("objective.backbone.max_length"),
    )
  }

  def make_field(self) -> TextField:
    """Makes the text field, see `Pipeline`."""
    options = ("length", "pair", "views", "word_starts", "buckets")
    return TextField(**{name: getattr(self, name) for name in options})

  @property
  def vocab_size(self) -> int:
    """The size of the tokenizer's vocabulary."""
    return self.text.tokenizer.vocab_size

  @property
  def form(self) -> Literal["blocks", "examples"]:
    """See `TextField`."""
    return self.text.form

  @property
  def tag_names(self) -> tuple[str, ...]:
    """See `TextField`."""
    return self.text.tag_names

  @property
  def bytes_per_token(self) -> float:
    """See `TextField`."""
    return self.text.bytes_per_token

  def windows(self, places: Sequence[int] | Int[np.ndarray, " B"]) -> list[Window]:
    """The texts behind some examples of questions, by their places in `one_pass`."""
    return read_windows(self, places)

  @property
  def text(self) -> TextField:
    """The text field, bound to the opened datasets."""
    assert isinstance(self.field, TextField)
    return self.field
