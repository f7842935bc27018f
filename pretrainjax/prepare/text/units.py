"""Where a text can be cut: into pieces that fit into memory, into sentences, into lines."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

Unit = Literal["document", "sentence", "line"]

# After a full stop and the like, with closing quotes, before a space and what can begin a sentence.
_SENTENCE_END = re.compile(
  r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+(?=[\"'\u201c\u2018(\[]*[^\Wa-z_])"
  r"|(?<=[\u3002\uff01\uff1f])"
)
_ABBREVIATION = re.compile(
  r"(?:^|[\s(\"'])(?:Mr|Mrs|Ms|Dr|Prof|Gen|Col|Capt|Lt|Sen|Rep|Gov|Hon|St|Jr|Sr|No|vs|etc|e\.g|i\.e"
  r"|[A-Z](?:\.[A-Z])*)\.$"
)
_ENDS = ("\n\n", "\n", ". ", " ")  # best first


def units(text: str, *, unit: Unit) -> list[str]:
  """Cuts a text into units; those that are only space are left out.

  Args:
    text: the text of a document.
    unit: "sentence" goes by punctuation and capitals, knows few abbreviations, and ends sentences
      at empty lines too.
  """
  if unit == "document":
    return [text]
  if unit == "line":
    parts: Iterable[str] = text.split("\n")
  else:
    paragraphs = re.split(r"\n\s*\n", text)
    parts = (sentence for paragraph in paragraphs for sentence in _sentences(paragraph))
  return [part.strip() for part in parts if part.strip()]


def _sentences(paragraph: str) -> Iterator[str]:
  start = 0
  for match in _SENTENCE_END.finditer(paragraph):
    # The end of an abbreviation is looked for in the last few characters only: texts are long.
    if _ABBREVIATION.search(paragraph[max(start, match.start() - 12) : match.start()]):
      continue
    yield paragraph[start : match.end()]
    start = match.end()
  yield paragraph[start:]


def pieces(chunks: Iterable[str], *, size: int) -> Iterator[str]:
  """Cuts a text that comes in chunks; the pieces joined are the text.

  Args:
    chunks: the chunks of the text, of any lengths.
    size: the most characters in a piece. A piece ends with a paragraph if one ends in its second
      half; else with a line, a sentence, a word, or anywhere.
  """
  rest = ""
  for chunk in chunks:
    rest += chunk
    while len(rest) > size:
      end = _end(rest, size)
      yield rest[:end]
      rest = rest[end:]
  if rest:
    yield rest


def _end(text: str, size: int) -> int:
  for mark in _ENDS:
    found = text.rfind(mark, size // 2, size)
    if found >= 0:
      return found + len(mark) if found + len(mark) <= size else size
  return size
