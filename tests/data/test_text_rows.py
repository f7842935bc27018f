"""Rows: what wraps texts, what is cut off, what is marked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrainjax.data.text_rows import (
  Specials,
  joint,
  longest_first,
  part_of_block,
  prompted,
  single,
  span_in_row,
)
from pretrainjax.data.windows import ABSENT, UNKNOWN

SPECIALS = Specials(pad=0, begin=2, end=3)
A, B = np.arange(10, 16), np.arange(20, 24)


@given(first=st.integers(0, 30), second=st.integers(0, 30), limit=st.integers(0, 40))
def test_tokens_are_taken_one_by_one_from_the_longer(first, second, limit):
  a, b = first, second
  while a + b > limit:
    a, b = (a - 1, b) if a > b else (a, b - 1)
  assert longest_first(first, second, limit=limit) == (a, b)


@pytest.mark.parametrize(
  ("length", "tokens", "segments"),
  [
    (10, [2, 10, 11, 12, 13, 14, 15, 3, 0, 0], [1] * 8 + [0] * 2),
    (8, [2, 10, 11, 12, 13, 14, 15, 3], [1] * 8),
    (5, [2, 10, 11, 12, 3], [1] * 5),
  ],
)
def test_a_text_is_wrapped_cut_and_filled_up(length, tokens, segments):
  row = single(A, length=length, specials=SPECIALS)
  assert row["tokens"].tolist() == tokens and row["segments"].tolist() == segments
  assert row["tokens"].dtype == row["segments"].dtype == np.int32


def test_an_empty_text_is_its_special_tokens():
  row = single(A[:0], length=4, specials=SPECIALS)
  assert row["tokens"].tolist() == [2, 3, 0, 0] and row["segments"].tolist() == [1, 1, 0, 0]


def test_two_texts_in_one_row_have_types():
  row = joint(A, B, length=15, specials=SPECIALS)
  assert row["tokens"].tolist() == [2, *A, 3, *B, 3, 0, 0]
  assert row["types"].tolist() == [0] * 8 + [1] * 5 + [0] * 2
  assert row["segments"].tolist() == [1] * 13 + [0] * 2
  cut = joint(A, B, length=10, specials=SPECIALS)
  assert cut["tokens"].tolist() == [2, *A[:4], 3, *B[:3], 3]
  assert cut["types"].tolist() == [0] * 6 + [1] * 4


@given(
  first=st.integers(0, 9),
  second=st.integers(1, 12),
  length=st.integers(4, 24),
  begin=st.integers(0, 11),
  size=st.integers(1, 4),
)
def test_a_span_stands_where_its_tokens_do_or_nowhere(first, second, length, begin, size):
  ids, context = np.arange(100, 100 + first), np.arange(200, 200 + second)
  span = np.array([min(begin, second - 1), min(begin + size, second) - 1])
  span[1] = max(span)
  row = joint(ids, context, length=length, specials=SPECIALS)
  found = span_in_row(span, first, second, length=length)
  wanted = context[span[0] : span[1] + 1]
  if np.isin(wanted, row["tokens"]).all():
    assert row["tokens"][found[0] : found[1] + 1].tolist() == wanted.tolist()
  else:  # also where only a part of it was cut off
    assert found.tolist() == [0, 0] and row["tokens"][0] == SPECIALS.begin


def test_no_span_is_the_first_token_and_an_unknown_one_is_told_apart():
  assert span_in_row(np.array([ABSENT, ABSENT]), 3, 4, length=20).tolist() == [0, 0]
  assert span_in_row(np.array([UNKNOWN, UNKNOWN]), 3, 4, length=20).tolist() == [-1, -1]


def test_a_response_and_its_end_are_scored():
  row = prompted(A, B, length=14, specials=SPECIALS)
  assert row["tokens"].tolist() == [2, *A, *B, 3, 0, 0]
  assert row["scored"].tolist() == [False] * 7 + [True] * 5 + [False] * 2
  assert set(row) == {"tokens", "segments", "scored"} and row["segments"].max() == 1


def test_a_prompt_loses_its_beginning():
  row = prompted(A, B, length=10, specials=SPECIALS)
  assert row["tokens"].tolist() == [2, *A[2:], *B, 3]
  assert row["scored"].tolist() == [False] * 5 + [True] * 5


def test_the_end_of_a_response_that_was_cut_is_not_scored():
  row = prompted(B, A, length=8, specials=SPECIALS)
  assert row["tokens"].tolist() == [2, *B[1:], *A[:3], 3]
  assert row["scored"].tolist() == [False] * 4 + [True] * 3 + [False]


def test_parts_of_a_block_count_their_documents_anew():
  tokens = np.arange(12, dtype=np.uint16)
  segments = np.array([1, 1, 1, 2, 2, 3, 3, 3, 3, 4, 0, 0], np.uint16)
  rows = [part_of_block(tokens, segments, length=4, piece=i) for i in range(3)]
  assert [r["segments"].tolist() for r in rows] == [[1, 1, 1, 2], [1, 2, 2, 2], [1, 2, 0, 0]]
  assert np.concatenate([r["tokens"] for r in rows]).tolist() == tokens.tolist()
  assert {r[name].dtype for r in rows for name in r} == {np.dtype("int32")}
