"""ARPA files: n-gram language models as text, which KenLM, SRILM and we write and read."""

import contextlib
import gzip
import io
import itertools
import math
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from pretrainjax.generation.backoff import Backoff, Context
from pretrainjax.untrusted import BadFile, open_file

# What a file of strangers may have: more n-grams would fill the memory.
MAX_ORDER, MAX_NGRAMS = 10, 10_000_000
_LONGEST_LINE, _MOST_EMPTY = 4096, 1000
_COUNT = re.compile(r"ngram\s+(\d{1,2})\s*=\s*(\d{1,12})\s*$")
_LN10 = math.log(10)


def read_arpa(path: Path | str) -> Backoff:
  """Reads an ARPA file, also as .gz, line by line.

  Args:
    path: the path of the file.

  Raises:
    BadFile: with the line's number, for what is no such file, or larger than `MAX_NGRAMS`.
  """
  try:
    with _opened(Path(path)) as lines:
      return _Reader(path, lines).model()
  except (OSError, EOFError, zlib.error) as error:  # of gzip for damage too
    reason = getattr(error, "strerror", None) or str(error) or "cut short"
    raise BadFile(path, f"cannot be read ({' '.join(reason.split())})") from error
  except UnicodeDecodeError as error:
    raise BadFile(path, "is not UTF-8") from error


def write_arpa(path: Path, model: Backoff) -> None:
  """Writes a model as an ARPA file, which is there once it is whole.

  Args:
    path: the path of the file, whatever its name.
    model: the model, whose words have no spaces in them.
  """
  for word in model.words:
    if not word or word.split() != [word]:
      raise ValueError(f"found the word {word!r}, expected one without spaces")
  grams: dict[int, list[Context]] = {n: [] for n in range(1, model.order + 1)}
  for context, found in model.following.items():
    grams[len(context) + 1] += [(*context, word) for word in found]
  temporary = path.with_name(f".{path.name}.{os.getpid()}")
  with open(temporary, "w", encoding="utf-8") as file:
    file.write("\\data\\\n")
    file.writelines(f"ngram {n}={len(found)}\n" for n, found in grams.items())
    for n, found in grams.items():
      file.write(f"\n\\{n}-grams:\n")
      file.writelines(_line(model, gram, is_longest=n == model.order) for gram in sorted(found))
    file.write("\n\\end\\\n")
  os.replace(temporary, path)


def _line(model: Backoff, gram: Context, *, is_longest: bool) -> str:
  log_prob = model.following[gram[:-1]][gram[-1]] / _LN10
  text = f"{log_prob:.7g}\t{' '.join(model.words[word] for word in gram)}"
  backoff = 0.0 if is_longest else model.backoffs.get(gram, 0.0) / _LN10
  return f"{text}\t{backoff:.7g}\n" if backoff else f"{text}\n"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[io.TextIOWrapper]:
  with open_file(path) as file:
    is_packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    binary = gzip.GzipFile(fileobj=file) if is_packed else file
    with io.TextIOWrapper(binary, encoding="utf-8") as text:
      yield text


class _Reader:
  """The lines of a file, each at most so long, and the model that they make."""

  def __init__(self, path: Path | str, lines: io.TextIOWrapper):
    self.path, self.lines, self.line = path, lines, 0
    self.numbers: dict[str, int] = {}
    self.following: dict[Context, dict[int, float]] = {(): {}}
    self.backoffs: dict[Context, float] = {}

  def model(self) -> Backoff:
    counts = self._header()
    for n, count in enumerate(counts, start=1):
      self._section(n, count, is_longest=n == len(counts))
    if self._next() != "\\end\\":
      raise self._bad("expected \\end\\")
    return Backoff(tuple(self.numbers), self.following, self.backoffs)

  def _header(self) -> list[int]:
    """The number of n-grams of each length."""
    first = itertools.islice(iter(lambda: self.lines.readline(_LONGEST_LINE), ""), _MOST_EMPTY)
    for line in first:  # what stands before \data\ is a comment
      self.line += 1
      if line.strip() == "\\data\\":
        break
    else:
      raise BadFile(self.path, "is no ARPA file: no \\data\\ in its first lines")
    counts = []
    for n in itertools.count(1):
      line = self._next()
      found = _COUNT.match(line)
      if found is None:
        break
      if int(found[1]) != n or n > MAX_ORDER:
        raise self._bad(f"found '{line}', expected 'ngram {min(n, MAX_ORDER)}=COUNT'")
      counts.append(int(found[2]))
    if not counts or sum(counts) > MAX_NGRAMS:
      raise self._bad(f"found {sum(counts):,} n-grams, expected 1 to {MAX_NGRAMS:,}")
    self.waiting = line
    return counts

  def _section(self, n: int, count: int, *, is_longest: bool) -> None:
    header = self.waiting if n == 1 else self._next()
    if header != f"\\{n}-grams:":
      raise self._bad(f"found '{header[:40]}', expected '\\{n}-grams:'")
    for _ in range(count):
      self._gram(self._next().split(), n, is_longest=is_longest)

  def _gram(self, fields: list[str], n: int, *, is_longest: bool) -> None:
    if len(fields) not in (n + 1, n + 2 - is_longest):
      raise self._bad(f"found {len(fields)} fields, expected a number, {n} words, a number or none")
    log_prob, words = self._number(fields[0]), fields[1 : n + 1]
    if n == 1:
      gram = (self.numbers.setdefault(words[0], len(self.numbers)),)
    else:
      gram = tuple(self.numbers.get(word, -1) for word in words)
    if -1 in gram:
      raise self._bad(f"found '{words[gram.index(-1)][:40]}', which is no 1-gram of the file")
    listed = self.following.setdefault(gram[:-1], {})
    if gram[-1] in listed:
      raise self._bad("found the n-gram of an earlier line again")
    listed[gram[-1]] = log_prob
    if len(fields) == n + 2:
      self.backoffs[gram] = self._number(fields[-1])

  def _number(self, text: str) -> float:
    try:
      value = float(text)
    except ValueError:
      raise self._bad(f"found '{text[:40]}', expected a number") from None
    if not -1e6 < value < 100:  # infinite ones and NaN too
      raise self._bad(f"found {text[:40]}, expected the logarithm of a probability")
    return value * _LN10

  def _next(self) -> str:
    """The next line that is not empty."""
    for _ in range(_MOST_EMPTY):
      line = self.lines.readline(_LONGEST_LINE)
      self.line += 1
      if not line:
        raise self._bad("the file ends too early")
      if len(line) == _LONGEST_LINE:
        raise self._bad(f"found a line of more than {_LONGEST_LINE} letters")
      if text := line.strip():
        return text
    raise self._bad(f"found {_MOST_EMPTY} empty lines")

  def _bad(self, reason: str) -> BadFile:
    return BadFile(self.path, f"line {self.line}: {reason}")
