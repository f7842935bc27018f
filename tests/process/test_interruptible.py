"""Work in a thread: its result, its error, or nothing at all."""

import threading
import time

import pytest

from pretrainjax.process.interruptible import Interrupted, run_unless


def test_what_is_done_is_returned():
  assert run_unless(lambda: False, lambda: 7) == 7


def test_what_fails_fails_here():
  def fail():
    raise OSError("the disk is gone")

  with pytest.raises(OSError, match="disk is gone"):
    run_unless(lambda: False, fail)


def test_it_is_given_up_in_the_middle():
  end, asked = threading.Event(), time.monotonic() + 0.3
  start = time.monotonic()
  with pytest.raises(Interrupted):
    run_unless(lambda: time.monotonic() > asked, lambda: end.wait(60))
  assert 0.3 <= time.monotonic() - start < 2
  end.set()
