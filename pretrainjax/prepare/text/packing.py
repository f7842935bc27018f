"""Documents in blocks of equal length: cut wherever a block is full, or placed whole."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32

_OPEN = 64  # blocks that are waited with, for pieces that fit


class Block(NamedTuple):
  """One row of packed documents.

  Attributes:
    tokens: padded at the end.
    segments: 1, 2, ... one number a document; 0 where it is padded.
  """

  tokens: Int32[np.ndarray, " T"]
  segments: Int32[np.ndarray, " T"]


class Wrapping(NamedTuple):
  """The ids of the special tokens that wrap documents, and of padding."""

  begin: int
  end: int
  pad: int


@runtime_checkable
class Packer(Protocol):
  """A packer, which takes documents one by one and gives blocks back as they are full."""

  def add(self, tokens: Int32[np.ndarray, " N"]) -> list[Block]:
    """Takes one document, without special tokens; returns the blocks that are full now."""
    ...

  def finish(self) -> list[Block]:
    """Returns the blocks that are not full."""
    ...

  def state(self) -> Any:
    """The packer's unfinished blocks, as plain data."""
    ...

  def restore(self, state: Any) -> None:
    """Goes on from a result of `state`."""
    ...


class Stream:
  """A packer that cuts joined documents every `length` tokens; no place is lost.

  A block can begin within a document, and then does so without its beginning token.
  """

  def __init__(self, length: int, wrapping: Wrapping):
    self._length, self._wrapping = length, wrapping
    self._tokens = np.zeros(0, np.int32)
    self._segments = np.zeros(0, np.int32)

  def add(self, tokens: Int32[np.ndarray, " N"]) -> list[Block]:
    """Takes one document, without special tokens; returns the blocks that are full now."""
    wrapped = np.concatenate([[self._wrapping.begin], tokens, [self._wrapping.end]])
    number = self._segments[-1] + 1 if len(self._segments) else 1
    numbers = np.full(len(wrapped), number, np.int32)
    self._tokens = np.concatenate([self._tokens, wrapped.astype(np.int32)])
    self._segments = np.concatenate([self._segments, numbers])
    whole = len(self._tokens) // self._length * self._length
    blocks = [self._block(i) for i in range(0, whole, self._length)]
    self._tokens, self._segments = self._tokens[whole:], self._segments[whole:]
    self._segments = self._segments - self._segments[:1] + 1  # each block begins with 1
    return blocks

  def _block(self, start: int) -> Block:
    rows = slice(start, start + self._length)
    segments = self._segments[rows]
    return Block(self._tokens[rows], segments - segments[:1] + 1)

  def finish(self) -> list[Block]:
    """The last block, padded."""
    if not len(self._tokens):
      return []
    last = _padded([self._tokens], [self._segments], self._length, self._wrapping.pad)
    self._tokens, self._segments = self._tokens[:0], self._segments[:0]
    return [last]

  def state(self) -> Any:
    """The tokens of the unfinished block, as plain data."""
    return [self._tokens.tolist(), self._segments.tolist()]

  def restore(self, state: Any) -> None:
    """Goes on from a result of `state`."""
    self._tokens, self._segments = (np.asarray(part, np.int32) for part in state)


class FirstFit:
  """A packer that puts every piece whole into the first block that has room for it.

  A document too long for a block is cut into pieces that each fill one, and a last one; every piece
  is wrapped. When none of some open blocks has room, another is opened and the oldest given back.
  """

  def __init__(self, length: int, wrapping: Wrapping):
    self._length, self._wrapping = length, wrapping
    self._open: list[list[np.ndarray]] = []
    self._free: list[int] = []

  def add(self, tokens: Int32[np.ndarray, " N"]) -> list[Block]:
    """Takes one document, without special tokens; returns the blocks that are full now."""
    body = self._length - 2
    blocks = []
    for start in range(0, len(tokens), body):
      piece = tokens[start : start + body]
      ends = ([self._wrapping.begin], piece, [self._wrapping.end])
      blocks.extend(self._place(np.concatenate(ends).astype(np.int32)))
    return blocks

  def _place(self, piece: np.ndarray) -> list[Block]:
    if len(piece) == self._length:
      return [self._block([piece])]
    place = next((i for i, free in enumerate(self._free) if free >= len(piece)), None)
    given = []
    if place is None:
      if len(self._open) == _OPEN:
        given.append(self._block(self._open.pop(0)))
        self._free.pop(0)
      self._open.append([])
      self._free.append(self._length)
      place = len(self._open) - 1
    self._open[place].append(piece)
    self._free[place] -= len(piece)
    if not self._free[place]:
      given.append(self._block(self._open.pop(place)))
      self._free.pop(place)
    return given

  def _block(self, parts: list[np.ndarray]) -> Block:
    numbers = [np.full(len(part), i, np.int32) for i, part in enumerate(parts, 1)]
    return _padded(parts, numbers, self._length, self._wrapping.pad)

  def finish(self) -> list[Block]:
    """The open blocks, oldest first."""
    blocks = [self._block(parts) for parts in self._open]
    self._open, self._free = [], []
    return blocks

  def state(self) -> Any:
    """The open blocks, as plain data."""
    return [[part.tolist() for part in parts] for parts in self._open]

  def restore(self, state: Any) -> None:
    """Goes on from a result of `state`."""
    self._open = [[np.asarray(part, np.int32) for part in parts] for parts in state]
    self._free = [self._length - sum(map(len, parts)) for parts in self._open]


def _padded(tokens: list[np.ndarray], segments: list[np.ndarray], length: int, pad: int) -> Block:
  missing = length - sum(map(len, tokens))
  padding, nothing = np.full(missing, pad, np.int32), np.zeros(missing, np.int32)
  return Block(np.concatenate([*tokens, padding]), np.concatenate([*segments, nothing]))
