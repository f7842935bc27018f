"""Words and runs of words as numbers, for what compares and counts them in many documents."""

import re
import zlib

import numpy as np
from jaxtyping import Int, UInt64

_WORD = re.compile(r"\S+")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bits are lost; the golden ratio's


def word_hashes(text: str) -> tuple[UInt64[np.ndarray, " W"], Int[np.ndarray, " W"]]:
  """A hash and the length of every word between spaces, case aside.

  Args:
    text: the text of a document.

  Returns:
    A hash of 32 bits of each word, and its length in characters.
  """
  words = _WORD.findall(text.lower())
  hashes = (zlib.crc32(word.encode("utf-8", "replace")) for word in words)
  lengths = (len(word) for word in words)
  return (
    np.fromiter(hashes, np.uint64, len(words)),
    np.fromiter(lengths, np.int64, len(words)),
  )


def ngram_hashes(words: UInt64[np.ndarray, " W"], *, size: int) -> UInt64[np.ndarray, " N"]:
  """The 64-bit hashes of all runs of `size` words, in order; none for fewer words."""
  count = len(words) - size + 1
  if count < 1:
    return np.zeros(0, np.uint64)
  hashes = np.zeros(count, np.uint64)
  for offset in range(size):
    hashes = hashes * _FACTOR + words[offset : offset + count]  # wraps around
  return hashes ^ (hashes >> np.uint64(32))
