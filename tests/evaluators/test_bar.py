"""The bar of a long evaluation: on a terminal, in a log, on one process."""

import io
import sys

import numpy as np
import pytest

from pretrainjax.evaluators.bar import batches_of
from pretrainjax.process import bar


class Data:
  num_examples = 6

  def one_pass(self):
    for rows in ([True] * 4, [True, True, False, False]):
      yield {"valid": np.array(rows)}


class Stream(io.StringIO):
  def __init__(self, *, is_terminal):
    super().__init__()
    self._is_terminal = is_terminal

  def isatty(self):
    return self._is_terminal


@pytest.mark.parametrize(("is_terminal", "is_first"), [(True, True), (False, True), (True, False)])
def test_it_counts_examples_that_are_valid(is_terminal, is_first, monkeypatch):
  stream = Stream(is_terminal=is_terminal)
  monkeypatch.setattr(sys, "stderr", stream)
  monkeypatch.setattr(bar, "is_main", lambda: is_first)
  for name in ("_TERMINAL", "_LOG"):
    monkeypatch.setattr(bar, name, (0.0, 0.0))
  assert len(list(batches_of(Data(), what="tags"))) == 2
  shown = stream.getvalue()
  assert ("tags:  67%" in shown and "4/6" in shown) if is_first else not shown


def test_what_is_soon_done_shows_nothing(monkeypatch):
  stream = Stream(is_terminal=True)
  monkeypatch.setattr(sys, "stderr", stream)
  list(batches_of(Data(), what="tags"))
  assert stream.getvalue() == ""
