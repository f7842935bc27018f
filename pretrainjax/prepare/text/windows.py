"""A question and its context as records, one a window of the context."""

import functools
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.data.windows import ABSENT, UNKNOWN, cut
from pretrainjax.prepare.text.document import Document
from pretrainjax.prepare.text.form import NUM_SPECIALS, Form


class Context(NamedTuple):
  """A context in tokens.

  Attributes:
    ids: the token ids.
    offsets: where each begins and ends in the text, in characters.
  """

  ids: Int[np.ndarray, " N"]
  offsets: Int[np.ndarray, "N 2"]


class Windows:
  """Makes the records of questions; the contexts asked last stay in memory."""

  def __init__(self, form: Form, tokenizer: Tokenizer):
    self._form = form
    self._tokenizer = tokenizer
    self.context = functools.lru_cache(maxsize=16)(self._context)

  def _context(self, text: str) -> Context:
    """The tokens of a context, each with the piece of the text that it stands for."""
    ids, offsets = self._tokenizer.encode_offsets(text)
    return Context(np.asarray(ids, np.int32), np.asarray(offsets, np.int32).reshape(-1, 2))

  def span(self, document: Document) -> tuple[int, int]:
    """The first and last token in the context of a question's first answer that has a place.

    Both are ABSENT where the question has no answer, UNKNOWN where none of them has a place.
    """
    if not document.answers:
      return ABSENT, ABSENT
    starts, ends = self.context(document.second or "").offsets.T
    for answer in document.answers:
      # Tokens that share a character with the answer: part of a word has no token of its own.
      inside = np.flatnonzero((ends > answer.start) & (starts < answer.start + len(answer.text)))
      if answer.start >= 0 and len(inside):
        return int(inside[0]), int(inside[-1])
    return UNKNOWN, UNKNOWN

  def records(
    self, document: Document, question: Int[np.ndarray, " Q"]
  ) -> Iterator[dict[str, Any]]:
    """The values of each record, by feature.

    Args:
      document: a question with its context.
      question: the tokens of the question.
    """
    text = document.second or ""
    context, (first, last) = self.context(text), self.span(document)
    question = question[: self._form.longest_question]
    room = self._form.window - NUM_SPECIALS - len(question)
    parts = cut(len(context.ids), room=room, stride=self._form.stride)
    shared = {
      "tokens": question,
      "question": document.key,
      "answers": [answer.text for answer in document.answers or ()],
      "context_id": _number_of(text),
    }
    for number, part in enumerate(parts):
      offsets = context.offsets[part]
      begin, end = (int(offsets[0, 0]), int(offsets[:, 1].max())) if len(offsets) else (0, 0)
      span = (first, last)
      if first >= 0:
        is_inside = part.start <= first and last < part.stop
        span = (first - part.start, last - part.start) if is_inside else (ABSENT, ABSENT)
      yield shared | {
        "second": context.ids[part],
        "span": span,
        "context": text[begin:end],
        "offsets": (offsets - begin).reshape(-1),
        "key": document.key if len(parts) == 1 else f"{document.key}#{number}",
      }


def _number_of(context: str) -> int:
  """A number that says which context it is, of 63 bits."""
  digest = hashlib.blake2b(context.encode(), digest_size=8).digest()
  return int.from_bytes(digest, "little") >> 1
