"""Streams of a log's bytes, read in pieces of any size."""

import io
import itertools

import pytest

from pretrainjax.prepare.contract import Remark, Unreadable
from pretrainjax.prepare.items.log_streams import SEPARATOR, UNENDED, Single, Until
from pretrainjax.prepare.text.streams import NoText


class Pieces(io.BufferedIOBase):
  """Gives some bytes at once, and is then damaged, or ends."""

  def __init__(self, data, size, *, damaged=False):
    self.data, self.size, self.damaged = data, size, damaged

  def read1(self, size=-1):
    found, self.data = self.data[: min(self.size, size)], self.data[min(self.size, size) :]
    if not found and self.damaged:
      raise NoText("not whole")
    return found


@pytest.mark.parametrize("text", ["1::2::3\n", "a:b::c:\n:d", "x:", "::", ":", "", "a:::b"])
def test_two_colons_become_one_character_wherever_they_are_cut(text):
  for size, buffer in itertools.product((1, 2, 3, 100), (2, 3, 64)):
    stream = io.BufferedReader(Single(Pieces(text.encode(), size)), buffer)
    assert stream.read().decode() == text.replace("::", SEPARATOR), (size, buffer)


def test_a_damaged_stream_ends_and_says_so():
  stream = Until(Pieces(b"abc\n", 3, damaged=True))
  assert io.BufferedReader(stream).read() == b"abc\n"
  assert list(stream.told("k")) == [Unreadable("k", "not whole")]


def test_a_last_line_without_an_end_is_told():
  for data, told in ((b"a\n", []), (b"", []), (b"a\nb", [Remark(UNENDED, 1)])):
    stream = Until(Pieces(data, 2))
    assert io.BufferedReader(stream).read() == data
    assert list(stream.told("k")) == told
