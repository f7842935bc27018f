"""Inputs on which an export may differ though it agrees on ordinary ones."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from pretrainjax.types import Sound


class Case(NamedTuple):
  """An input of both: images as floats, texts, or pairs of them; what is compared where `present`.

  Attributes:
    name: the name of the kind of input.
    images: pixels "B H W C" as the encoder normalises them; None without images.
    tokens: token ids "B T"; None without texts.
    present: True for tokens, False for padding, "B T"; None without texts.
    sound: samples, and how many of each row are real; None without sound.
  """

  name: str
  images: Any = None
  tokens: Any = None
  present: Any = None
  sound: Sound | None = None


def lowest_token(vocab_size: int) -> int:
  """The first token that is no special one, as ordinary texts have them."""
  return min(5, vocab_size - 1)


def rare_tokens(shape: Sequence[int], *, vocab_size: int) -> Int[np.ndarray, "B N"]:
  """Rows of the vocabulary's last tokens, from the last one down.

  Args:
    shape: the rows and tokens, "B N".
    vocab_size: the size of the vocabulary.
  """
  places = np.arange(np.prod(shape)).reshape(shape)
  return vocab_size - 1 - places % (vocab_size - lowest_token(vocab_size))


def odd_images(
  shape: Sequence[int], random: np.random.Generator
) -> Iterator[tuple[str, UInt8[np.ndarray, "B H W C"]]]:
  """Images of extreme pixels, each kind with its name.

  Args:
    shape: the shape of the images, "B H W C".
    random: where pixels are drawn.
  """
  yield "black images", np.zeros(shape, np.uint8)
  yield "white images", np.full(shape, 255, np.uint8)
  yield "images of two values", (random.integers(0, 2, shape) * 255).astype(np.uint8)


def odd_sounds(random: np.random.Generator, *, longest: int) -> Iterator[tuple[str, Sound]]:
  """Sounds of odd lengths, each kind with its name.

  Args:
    random: where samples are drawn.
    longest: the samples of the longest.
  """
  lengths = np.array([longest, longest * 2 // 3, longest // 2 + 1], np.int32)
  noise = random.integers(-12_000, 12_000, (3, longest)).astype(np.int16)
  yield "padded sounds", Sound(noise, lengths)
  quiet = random.integers(-1, 2, (3, longest)).astype(np.int16)
  yield "short sounds", Sound(noise[:, : longest // 4], np.full(3, longest // 4, np.int32))
  yield "nearly silent sounds", Sound(quiet, lengths)
  loud = np.where(noise > 0, 32_767, -32_768).astype(np.int16)
  yield "clipped sounds", Sound(loud, lengths)
