"""Contexts of questions, cut into windows that overlap, and what a record of one window says."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from pretrainjax.data.prepared import Fields, PreparedSplit

# In place of the first and last token of an answer: it is not in this window, or nobody knows.
ABSENT, UNKNOWN = -1, -2


class Window(NamedTuple):
  """A part of a question's context, with what its answers are compared with.

  Attributes:
    question: the key of the question, of which there may be several windows.
    context: the text of this part.
    offsets: where each of its tokens begins and ends in `context`, in characters.
    answers: the texts of the question's answers; () where it has none.
  """

  question: str
  context: str
  offsets: Int[np.ndarray, "N 2"]
  answers: tuple[str, ...]

  def text(self, first: int, last: int) -> str:
    """The text from one token to another one, without space at its ends.

    Args:
      first: the number of the first token in the window.
      last: the number of the last one.
    """
    return self.context[self.offsets[first, 0] : self.offsets[last, 1]].strip()


def cut(num_tokens: int, *, room: int, stride: int) -> list[slice]:
  """Cuts a context into windows that overlap; together they hold all of it.

  Args:
    num_tokens: the number of tokens of the context.
    room: the most tokens in a window.
    stride: tokens from the beginning of a window to that of the next one; at most `room` are taken.

  Reference: `doc_stride` of BERT's code for SQuAD (arXiv 1810.04805). (What Hugging Face calls
  `stride` is how far two windows overlap.)

  >>> cut(9, room=5, stride=2)
  [slice(0, 5, None), slice(2, 7, None), slice(4, 9, None)]
  """
  step = min(stride, room)
  starts = range(0, max(num_tokens - room, 0) + step, step)
  found = [slice(start, min(start + room, num_tokens)) for start in starts]
  return found[: 1 + next(i for i, part in enumerate(found) if part.stop == num_tokens)]


def read_windows(data: Any, places: Sequence[int] | Int[np.ndarray, " B"]) -> list[Window]:
  """The windows at some places of a pass over data, see `Pipeline.one_pass`.

  Args:
    data: a `Pipeline` of questions.
    places: the places, in any order.
  """
  ends = np.cumsum([len(rows) for rows in data.rows_used])
  windows = []
  for place in places:
    number = int(np.searchsorted(ends, place, side="right"))
    rows, source = data.rows_used[number], data.sources[number]
    row = rows[place - (ends[number] - len(rows))]
    (record,) = source.records([int(row) // data.num_pieces[number]])
    windows.append(_window(source, record))
  return windows


def _window(source: PreparedSplit, record: Fields) -> Window:
  """One record's.

  Raises:
    ValueError: for a record that is no window.
  """

  def packed(name: str) -> list[bytes]:
    return list(record[name].bytes_list.value) if name in record else []

  try:
    question, context = (packed(name)[0].decode() for name in ("question", "context"))
    offsets = np.frombuffer(packed("offsets")[0], source.dtype("offsets")).reshape(-1, 2)
    tokens = np.frombuffer(packed("second")[0], source.dtype("second"))
    answers = tuple(text.decode() for text in packed("answers"))
  except (IndexError, ValueError, KeyError) as error:
    raise ValueError(f"'{source.name}' has a record that is no window of a context") from error
  if len(offsets) != len(tokens):
    raise ValueError(f"'{source.name}' has {len(tokens)} tokens with {len(offsets)} places")
  return Window(f"{source.name}/{question}", context, offsets, answers)
