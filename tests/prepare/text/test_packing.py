"""No token is lost in blocks, documents keep apart, and a packer goes on where it was left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrainjax.prepare.text.packing import FirstFit, Stream, Wrapping

WRAPPING = Wrapping(begin=2, end=3, pad=0)
BEGIN, END = 2, 3
documents = st.lists(st.integers(1, 30), max_size=12)


def numbered(lengths: list[int]) -> list[np.ndarray]:
  """Documents in which no token comes twice."""
  starts = np.cumsum([100, *lengths])
  return [np.arange(s, s + n, dtype=np.int32) for s, n in zip(starts, lengths, strict=False)]


def packed(packer, texts) -> list:
  return [block for text in texts for block in packer.add(text)] + packer.finish()


@settings(deadline=None, max_examples=50)
@given(documents, st.integers(3, 12))
def test_a_stream_is_the_documents_one_after_another(lengths, length):
  texts = numbered(lengths)
  blocks = packed(Stream(length, WRAPPING), texts)
  wanted = [t for text in texts for t in (BEGIN, *text.tolist(), END)]
  assert all(block.tokens.shape == block.segments.shape == (length,) for block in blocks)
  rows = [b.tokens[b.segments > 0].tolist() for b in blocks]
  assert [t for row in rows for t in row] == wanted
  assert all(len(row) == length for row in rows[:-1])
  for block in blocks:
    new = block.tokens[1:] == BEGIN
    steps = np.diff(block.segments)[block.segments[1:] > 0]
    assert block.segments[0] == 1
    np.testing.assert_array_equal(steps, new[block.segments[1:] > 0])


@settings(deadline=None, max_examples=50)
@given(documents, st.integers(3, 12))
def test_first_fit_keeps_pieces_whole(lengths, length):
  texts = numbered(lengths)
  blocks = packed(FirstFit(length, WRAPPING), texts)
  pieces = []
  for block in blocks:
    assert block.tokens.shape == block.segments.shape == (length,)
    assert not block.tokens[block.segments == 0].any()
    assert block.segments[0] == 1 and set(np.diff(block.segments[block.segments > 0])) <= {0, 1}
    for number in range(1, block.segments.max() + 1):
      piece = block.tokens[block.segments == number].tolist()
      assert piece[0] == BEGIN and piece[-1] == END
      pieces.append(piece[1:-1])
  body = length - 2
  wanted = [t[i : i + body].tolist() for t in texts for i in range(0, len(t), body)]
  assert sorted(pieces) == sorted(wanted)


def test_first_fit_fills_gaps():
  packer = FirstFit(10, WRAPPING)
  blocks = packed(packer, numbered([4, 5, 2, 1]))  # wrapped 6, 7, 4, 3
  assert [b.segments.tolist() for b in blocks] == [[1] * 6 + [2] * 4, [1] * 7 + [2] * 3]


@pytest.mark.parametrize("kind", [Stream, FirstFit])
def test_a_packer_goes_on_where_another_was_left(kind):
  texts = numbered([5, 9, 1, 30, 2, 2, 7])
  for stop in range(len(texts)):
    first, second = kind(8, WRAPPING), kind(8, WRAPPING)
    blocks = [block for text in texts[:stop] for block in first.add(text)]
    second.restore(first.state())
    blocks += packed(second, texts[stop:])
    for found, wanted in zip(blocks, packed(kind(8, WRAPPING), texts), strict=True):
      np.testing.assert_array_equal(found, wanted)


def test_only_some_blocks_are_open_at_once():
  packer = FirstFit(10, WRAPPING)
  given_back = [block for text in numbered([6] * 100) for block in packer.add(text)]
  assert len(given_back) == 36 and len(packer.finish()) == 64
