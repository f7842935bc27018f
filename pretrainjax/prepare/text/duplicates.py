"""Documents that were seen before, word for word or nearly, with everything known kept on disk."""

import dataclasses
import functools
import hashlib
import sqlite3
from typing import Annotated, Literal

import numpy as np
from datasketch import MinHash, MinHashLSH
from jaxtyping import UInt32

from pretrainjax.prepare.text.ngrams import ngram_hashes, word_hashes
from pretrainjax.ranges import LARGEST, PositiveInt, Range, check_ranges

_SCHEME = "affine32"
_AT_ONCE = 4096  # shingles; datasketch makes an array of so many times num_perm


@dataclasses.dataclass(frozen=True)
class Duplicates:
  """The rules by which a document counts as seen before.

  Attributes:
    given: of examples in splits that the source gives: "keep" leaves splits whole and counts what
      stands in two, or twice in one; "drop_train" leaves out of train what stands in another split,
      word for word; "drop" treats them as documents of a corpus.
    exact: whether equal ones do: the same text, and the same second text.
    near: whether nearly equal ones do.
    threshold: the least Jaccard similarity of nearly equal texts, estimated.
    num_permutations: the number of hashes of the estimate, whose error is about 0.5 /
      sqrt(num_permutations).
    words: number of words in a shingle; a text is the set of its shingles.

  Reference: Lee et al., Deduplicating Training Data Makes Language Models Better
  (arXiv 2107.06499), section 4.2: shingles of 5 words, similarity 0.8. Ours compares estimates
  where they compare edit distances, and keeps the first of a group instead of joining groups.
  """

  given: Literal["keep", "drop_train", "drop"] = "keep"
  exact: bool = True
  near: bool = True
  threshold: Annotated[float, Range(0.1, 1)] = 0.8
  num_permutations: Annotated[int, Range(16, LARGEST)] = 128
  words: PositiveInt = 5

  def __post_init__(self):
    check_ranges(self)

  @functools.cached_property
  def bands(self) -> tuple[int, int]:
    """The number of bands and of rows a band that fit the threshold best."""
    index = MinHashLSH(threshold=self.threshold, num_perm=self.num_permutations)
    return index.b, index.r

  @functools.cached_property
  def _empty(self) -> MinHash:
    return MinHash(num_perm=self.num_permutations, seed=1, scheme=_SCHEME, hashfunc=int)

  def signature(self, text: str) -> UInt32[np.ndarray, " P"]:
    """The MinHash of a text, by words and case aside."""
    words, _ = word_hashes(text)
    shingles = ngram_hashes(words, size=max(min(self.words, len(words)), 1))
    sketch = self._empty.copy()
    for start in range(0, len(shingles), _AT_ONCE):
      # The lower half of the hash: the scheme takes 32 bits.
      sketch.update_batch(shingles[start : start + _AT_ONCE].astype(np.uint32).tolist())
    return sketch.hashvalues.astype(np.uint32)


class Seen:
  """The documents seen so far, in tables of a database; memory does not grow with them."""

  def __init__(self, rules: Duplicates, database: sqlite3.Connection):
    self._rules, self._database = rules, database
    for table in (
      "digest (value BLOB PRIMARY KEY) WITHOUT ROWID",
      "band (value INTEGER, document INTEGER, PRIMARY KEY (value, document)) WITHOUT ROWID",
      "signature (document INTEGER PRIMARY KEY, value BLOB)",
      "given (value BLOB PRIMARY KEY, split TEXT) WITHOUT ROWID",
    ):
      database.execute(f"CREATE TABLE IF NOT EXISTS {table}")

  def add(self, text: str, second: str | None = None) -> Literal["exact", "near"] | None:
    """Says whether a document was seen before, and if it was not, remembers it.

    Args:
      text: the text of the document, cleaned.
      second: the second text of a pair.

    Returns:
      None for one that is new.
    """
    content = _content(text, second)
    if self._rules.exact and not self._is_new(content):
      return "exact"
    return "near" if self._rules.near and self._is_near(content) else None

  def first_split(self, text: str, second: str | None, *, split: str) -> str | None:
    """The split in which an example of a given split stood first; None for one that is new."""
    digest = _digest(_content(text, second))
    row = self._database.execute("SELECT split FROM given WHERE value = ?", (digest,)).fetchone()
    if row is not None:
      return row[0]
    self._database.execute("INSERT INTO given VALUES (?, ?)", (digest, split))
    return None

  def _is_new(self, text: str) -> bool:
    insert = "INSERT OR IGNORE INTO digest VALUES (?)"
    return self._database.execute(insert, (_digest(text),)).rowcount == 1

  def _is_near(self, text: str) -> bool:
    """Whether a similar one is there; one that is not similar to any is remembered."""
    signature = self._rules.signature(text)
    bands = self._band_hashes(signature)
    marks = ", ".join("?" * len(bands))
    rows = self._database.execute(
      "SELECT value FROM signature WHERE document IN "
      f"(SELECT document FROM band WHERE value IN ({marks}))",
      bands,
    )
    for (known,) in rows:
      if np.mean(np.frombuffer(known, "<u4") == signature) >= self._rules.threshold:
        return True
    cursor = self._database.execute(
      "INSERT INTO signature (value) VALUES (?)", (signature.astype("<u4").tobytes(),)
    )
    pairs = [(band, cursor.lastrowid) for band in bands]
    self._database.executemany("INSERT OR IGNORE INTO band VALUES (?, ?)", pairs)
    return False

  def _band_hashes(self, signature: np.ndarray) -> list[int]:
    """One signed 64-bit number a band, which says the band's place and values."""
    bands, rows = self._rules.bands
    values = signature[: bands * rows].astype("<u4").reshape(bands, rows)
    digests = (
      hashlib.blake2b(row.tobytes(), digest_size=8, salt=place.to_bytes(4, "little")).digest()
      for place, row in enumerate(values)
    )
    return [int.from_bytes(digest, "little", signed=True) for digest in digests]


def _content(text: str, second: str | None) -> str:
  return text if second is None else f"{text}\n{second}"


def _digest(text: str) -> bytes:
  return hashlib.blake2b(text.encode(), digest_size=16).digest()
