"""Rows of one length from texts of any: special tokens, truncation, padding."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from pretrainjax.data.windows import UNKNOWN

Row = dict[str, np.ndarray]


class Specials(NamedTuple):
  """Ids of the tokens that rows are wrapped with.

  Attributes:
    pad: fills a row up.
    begin: stands before a document.
    end: stands after each text.
  """

  pad: int
  begin: int
  end: int


def longest_first(first: int, second: int, *, limit: int) -> tuple[int, int]:
  """The number of tokens kept of two texts, when they are cut one by one from the longer.

  Of equals the second gives first, as in Hugging Face's `truncate_sequences`.

  Args:
    first: the number of tokens of the first text.
    second: the number of tokens of the second text.
    limit: the most tokens of both that are kept.

  >>> longest_first(3, 9, limit=8)
  (3, 5)
  """
  kept = min(first, max(limit - second, limit - limit // 2))
  return kept, min(second, limit - kept)


def single(ids: Integer[np.ndarray, " N"], *, length: int, specials: Specials) -> Row:
  """[CLS] text [SEP], as "tokens" and "segments" of a row.

  Args:
    ids: the ids of the text; what does not fit is cut off at its end.
    length: the length of the row.
    specials: ids of the tokens that wrap the text.
  """
  kept = ids[: length - 2]
  return _row([[specials.begin], kept, [specials.end]], length=length, pad=specials.pad)


def joint(
  first: Integer[np.ndarray, " N"],
  second: Integer[np.ndarray, " N2"],
  *,
  length: int,
  specials: Specials,
) -> Row:
  """[CLS] first [SEP] second [SEP] as one document; "types" is 1 from the second text on.

  Args:
    first: ids of the first text; cut off at the end, like the second, where both do not fit, see
      `longest_first`.
    second: ids of the second text.
    length: the length of the row.
    specials: ids of the tokens that wrap the texts.
  """
  a, b = longest_first(len(first), len(second), limit=length - 3)
  parts = [[specials.begin], first[:a], [specials.end], second[:b], [specials.end]]
  types = np.zeros(length, np.int32)
  types[a + 2 : a + b + 3] = 1
  return _row(parts, length=length, pad=specials.pad) | {"types": types}


def span_in_row(
  span: Integer[np.ndarray, " 2"], first: int, second: int, *, length: int
) -> Integer[np.ndarray, " 2"]:
  """The places in a `joint` row of a span of the second text: of its first and last token.

  (0, 0), [CLS], says that it is not in the row, also where it was cut off, in whole or in part;
  (-1, -1) that nobody knows.

  Args:
    span: the first and last token in the second text; ABSENT or UNKNOWN, see `windows`.
    first: the number of tokens of the first text.
    second: the number of tokens of the second text.
    length: the length of the row.
  """
  if span[0] == UNKNOWN:
    return np.full(2, -1, np.int32)
  a, b = longest_first(first, second, limit=length - 3)
  is_there = 0 <= span[0] and span[1] < b
  return np.asarray(span + (a + 2) if is_there else (0, 0), np.int32)


def prompted(
  prompt: Integer[np.ndarray, " N"],
  response: Integer[np.ndarray, " N2"],
  *,
  length: int,
  specials: Specials,
) -> Row:
  """[CLS] prompt response [SEP] as one document; "scored" marks the response and its [SEP].

  Args:
    prompt: ids of the prompt; where both do not fit it loses its beginning, for the response
      follows its end.
    response: ids of the response; it loses its end, and a [SEP] that then ends nothing is not
      scored.
    length: the length of the row.
    specials: ids of the tokens that wrap the texts.
  """
  a, b = longest_first(len(prompt), len(response), limit=length - 2)
  parts = [[specials.begin], prompt[len(prompt) - a :], response[:b], [specials.end]]
  scored = np.zeros(length, bool)
  scored[a + 1 : a + 1 + b + (b == len(response))] = True
  return _row(parts, length=length, pad=specials.pad) | {"scored": scored}


def part_of_block(
  tokens: Integer[np.ndarray, " N"], segments: Integer[np.ndarray, " N"], *, length: int, piece: int
) -> Row:
  """Tokens piece * length and following of a packed row, its documents counted from 1 again.

  Args:
    tokens: the token ids of a packed block.
    segments: the number of each token's document in the block, 0 for padding.
    length: the length of the row.
    piece: the number of the row in the block, from 0.
  """
  part = slice(piece * length, (piece + 1) * length)
  numbers = segments[part].astype(np.int32)
  # Padding, 0, is at the end, so that the first number is the lowest.
  numbers = np.maximum(numbers - (numbers[0] - 1), 0) if numbers[0] > 1 else numbers
  return {"tokens": tokens[part].astype(np.int32), "segments": numbers}


def _row(parts: Sequence[Any], *, length: int, pad: int) -> Row:
  tokens, segments, place = np.full(length, pad, np.int32), np.zeros(length, np.int32), 0
  for part in parts:
    tokens[place : place + len(part)] = part
    place += len(part)
  segments[:place] = 1
  return {"tokens": tokens, "segments": segments}
