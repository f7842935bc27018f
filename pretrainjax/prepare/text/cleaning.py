"""What is done to a text before anything else, and which texts are left out."""

import dataclasses
import re
import unicodedata

import numpy as np

from pretrainjax.prepare.text.ngrams import ngram_hashes, word_hashes
from pretrainjax.ranges import Fraction, PositiveInt, check_ranges

_BREAKS = re.compile("\r\n?|[\u2028\u2029\x85]")
# Control characters but tab and newline, halves of surrogate pairs, the byte order mark.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff]")
_MIN_WORDS = 50  # Gopher has no shorter documents at all


@dataclasses.dataclass(frozen=True)
class Cleaning:
  """The settings by which texts are cleaned or left out.

  Attributes:
    normalize: whether texts are normalised to Unicode's NFC.
    control: whether control characters stay; tabs and newlines always do.
    min_characters: the fewest characters of a text, after cleaning and without space at its ends.
    max_characters: the most characters of a text, counted alike; None for any.
    repetition: whether texts that repeat themselves are left out.
    duplicate_lines: largest fraction of lines that stood in the text before.
    duplicate_line_characters: the same, counted in characters.
    top_ngrams: largest fraction of characters in the most frequent run of 2, 3 and 4 words.
    duplicate_ngrams: largest fraction of characters in runs of 5 to 10 words that stood in the
      text before.

  Reference: table A1 of Rae et al., Gopher (arXiv 2112.11446), which has the limits. Ours measures
  whole words, knows words by a hash, has no limits on paragraphs, and leaves texts of fewer than
  50 words alone.
  """

  normalize: bool = True
  control: bool = False
  min_characters: PositiveInt = 1
  max_characters: PositiveInt | None = None
  repetition: bool = True
  duplicate_lines: Fraction = 0.3
  duplicate_line_characters: Fraction = 0.2
  top_ngrams: tuple[Fraction, ...] = (0.2, 0.18, 0.16)
  duplicate_ngrams: tuple[Fraction, ...] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.1)

  def __post_init__(self):
    check_ranges(self)
    if self.max_characters is not None and self.max_characters < self.min_characters:
      raise ValueError(
        f"max_characters={self.max_characters}: expected at least min_characters="
        f"{self.min_characters}"
      )
    for name in ("duplicate_lines", "duplicate_line_characters", "top_ngrams", "duplicate_ngrams"):
      values = np.atleast_1d(getattr(self, name))
      if not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"{name}={getattr(self, name)}: expected in [0, 1]")

  def clean(self, text: str) -> str:
    """Returns a text in the form that is kept."""
    return self.replaced(text).strip()

  def replaced(self, text: str) -> str:
    """Returns a text in the form that is kept, but with the space at its ends."""
    text = _BREAKS.sub("\n", text)
    if self.control:
      text = text.encode("utf-8", "replace").decode()  # halves of surrogate pairs are no text
    else:
      text = _CONTROL.sub("", text)
    return unicodedata.normalize("NFC", text) if self.normalize else text

  def why_not(self, text: str) -> str | None:
    """The reason why a cleaned text is left out, in a few words; None where it is kept."""
    if len(text) < self.min_characters:
      return "too short" if text else "empty"
    if self.max_characters is not None and len(text) > self.max_characters:
      return "too long"
    return self._repeats(text) if self.repetition else None

  def _repeats(self, text: str) -> str | None:
    words, lengths = word_hashes(text)
    if len(words) < _MIN_WORDS:
      return None
    lines, characters = duplicate_lines(text)
    if lines > self.duplicate_lines or characters > self.duplicate_line_characters:
      return "repeats its lines"
    sizes = range(2, 2 + len(self.top_ngrams))
    for size, limit in zip(sizes, self.top_ngrams, strict=True):
      if top_ngram(words, lengths, size=size) > limit:
        return "repeats a phrase"
    sizes = range(5, 5 + len(self.duplicate_ngrams))
    for size, limit in zip(sizes, self.duplicate_ngrams, strict=True):
      if duplicate_ngrams(words, lengths, size=size) > limit:
        return "repeats its phrases"
    return None


def duplicate_lines(text: str) -> tuple[float, float]:
  """The shares of lines, and of characters in lines, that stood in the text before."""
  lines = [line.strip() for line in text.split("\n") if line.strip()]
  seen: set[str] = set()
  repeated, repeated_characters = 0, 0
  for line in lines:
    if line in seen:
      repeated += 1
      repeated_characters += len(line)
    seen.add(line)
  total = sum(map(len, lines))
  return repeated / max(len(lines), 1), repeated_characters / max(total, 1)


def top_ngram(words: np.ndarray, lengths: np.ndarray, *, size: int) -> float:
  """The share of characters in the most frequent run of words; 0 where none comes twice.

  Args:
    words: the hash of each word, see `word_hashes`.
    lengths: the number of characters of each word.
    size: the number of words in a run.
  """
  runs, first, counts = np.unique(
    ngram_hashes(words, size=size), return_index=True, return_counts=True
  )
  if not len(runs) or counts.max() < 2:
    return 0.0
  top = int(np.argmax(counts))
  characters = int(lengths[first[top] : first[top] + size].sum())
  return float(counts[top] * characters / lengths.sum())


def duplicate_ngrams(words: np.ndarray, lengths: np.ndarray, *, size: int) -> float:
  """The share of characters in runs of words that stood in the text before, each counted once.

  Args:
    words: the hash of each word, see `word_hashes`.
    lengths: the number of characters of each word.
    size: the number of words in a run.
  """
  runs = ngram_hashes(words, size=size)
  _, first, where = np.unique(runs, return_index=True, return_inverse=True)
  again = np.flatnonzero(first[where] != np.arange(len(runs)))
  covered = np.zeros(len(words), bool)
  for offset in range(size):
    covered[again + offset] = True
  return float(lengths[covered].sum() / max(lengths.sum(), 1))
