"""The bar of long work says what, how far, and nothing on the other processes."""

import io
import sys

import pytest

from pretrainjax.process import bar


@pytest.mark.parametrize("is_first", [True, False])
def test_it_shows_what_is_done_and_how_far(is_first, monkeypatch):
  stream = io.StringIO()
  monkeypatch.setattr(sys, "stderr", stream)
  monkeypatch.setattr(bar, "is_main", lambda: is_first)
  monkeypatch.setattr(bar, "_LOG", (0.0, 0.0))
  with bar.progress_bar(4, what="units", unit=" batches") as shown:
    shown.update(3)
  said = stream.getvalue()
  assert ("units:  75%" in said and "3/4" in said and "batches" in said) if is_first else not said
