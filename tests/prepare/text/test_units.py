"""Texts are cut where they may be, and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from pretrainjax.prepare.text.units import pieces, units


def test_sentences():
  text = (
    'Mr. Smith came. "Who?" he said. It was 3.5 m (about 11 ft.). Good!\n\nno end here\n\nU.S. law.'
  )
  assert units(text, unit="sentence") == [
    "Mr. Smith came.",
    '"Who?" he said.',
    "It was 3.5 m (about 11 ft.).",
    "Good!",
    "no end here",
    "U.S. law.",
  ]
  assert units("\u6211\u597d\u3002\u4f60\u5462\uff1f", unit="sentence") == [
    "\u6211\u597d\u3002",
    "\u4f60\u5462\uff1f",
  ]


def test_lines_and_documents():
  assert units(" a\n\n b \n", unit="line") == ["a", "b"]
  assert units(" a\n\n b \n", unit="document") == [" a\n\n b \n"]


@given(st.lists(st.text(st.sampled_from("ab .\n"))), st.integers(2, 9))
def test_pieces_joined_are_the_text(chunks, size):
  found = list(pieces(chunks, size=size))
  assert "".join(found) == "".join(chunks)
  assert all(0 < len(piece) <= size for piece in found)


def test_pieces_end_where_something_ends():
  assert list(pieces(["aaaa aa. bb\n\ncc dd"], size=14)) == ["aaaa aa. bb\n\n", "cc dd"]
  assert list(pieces(["aaaa aa. bbbbbb"], size=12)) == ["aaaa aa. ", "bbbbbb"]
  assert list(pieces(["a" * 10], size=4)) == ["aaaa", "aaaa", "aa"]


def test_a_long_text_without_any_end_is_cut_into_sentences_quickly():
  assert len(units("word. Word " * 50_000, unit="sentence")) == 50_001
