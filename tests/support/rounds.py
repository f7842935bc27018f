"""How what is given to a parser is varied, how often, and what has to hold then.

A parser of ours gives a result, or says in one printable line what is wrong; it raises nothing
else, and it comes back.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from pretrainjax.errors import UserError

QUICK = 25
SECONDS = 10  # for one case; a machine may be busy


def both(many: int) -> pytest.MarkDecorator:
  """Runs a test with a few cases by default, and with many where slow tests are asked for."""
  return pytest.mark.parametrize("cases", [QUICK, pytest.param(many, marks=pytest.mark.slow)])


def fuzz(check: Callable[..., None], *strategies: st.SearchStrategy, cases: int) -> None:
  """Calls `check` with what strategies draw, so many times; the same ones in every quick run."""
  settings = hypothesis.settings(
    max_examples=cases,
    deadline=None,
    database=None,
    derandomize=cases == QUICK,
    phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    suppress_health_check=list(hypothesis.HealthCheck),
  )

  def one(arguments: tuple) -> None:
    with no_hang():
      check(*arguments)

  settings(hypothesis.given(st.tuples(*strategies))(one))()


@contextmanager
def no_hang(seconds: int = SECONDS) -> Iterator[None]:
  """Fails where what is within takes absurdly long."""

  def late(*_) -> None:
    raise TimeoutError(f"nothing came back within {seconds} s")

  before = signal.signal(signal.SIGALRM, late)
  signal.alarm(seconds)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def result_or_line(call: Callable[[], Any]) -> Any:
  """The result, None where a UserError said in one line what is wrong."""
  try:
    return call()
  except UserError as error:
    assert str(error) and str(error).isprintable()
    return None


# What formats make of bytes: lengths, signs, ends of text and of nesting.
_WORDS = (
  b"\xff\xff\xff\xff",
  b"\x7f\xff\xff\xff",
  b"\0\0\0\0",
  b"\x80",
  b"\xff\xd8",
  b"\xff\xda",
  b'"',
  b"{",
  b"}",
  b"[",
  b"]",
  b",",
  b"\n",
  b"\\u0000",
  b"\\ud800",
  b"-1",
  b"1e999",
  b"null",
  b"IDAT",
  b"IEND",
  b"<!--",
  b"<![",
  b"_target",
  b"_tuple",
  b"\xef\xbb\xbf",
  b"9" * 30,
)


@st.composite
def edited(draw: st.DrawFn, whole: bytes) -> bytes:
  """A file with a few places changed, cut out, doubled or filled with what parsers dislike."""
  data = bytearray(whole)
  for _ in range(draw(st.integers(0, 5))):
    place = draw(st.integers(0, max(len(data) - 1, 0)))
    length = draw(st.sampled_from((1, 2, 4, 16, 200)))
    kind = draw(st.sampled_from(("flip", "set", "word", "over", "cut", "double", "end")))
    if kind == "flip" and data:
      data[place] ^= 1 << draw(st.integers(0, 7))
    elif kind == "set" and data:
      data[place] = draw(st.integers(0, 255))
    elif kind in ("word", "over"):
      word = draw(st.sampled_from(_WORDS))
      data[place : place + (len(word) if kind == "over" else 0)] = word
    elif kind == "cut":
      del data[place : place + length]
    elif kind == "double":
      data[place:place] = data[place : place + length]
    elif kind == "end":
      del data[place:]
  return bytes(data)


def bytes_or_edited(*wholes: bytes) -> st.SearchStrategy[bytes]:
  """Any bytes, and more often one of some files that was edited."""
  return st.one_of(*(edited(whole) for whole in wholes), st.binary(max_size=200))
