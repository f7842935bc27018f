"""A process ends at once: after its last acts, with its status, whatever others wait for."""

import subprocess
import sys
import threading
import time

import pytest

from pretrainjax.process.ending import Ending
from pretrainjax.process.watchdog import STUCK


class Left(BaseException):
  """The process has left."""


def leave(status):
  raise Left(status)


def test_last_acts_are_done_and_those_that_hang_are_left():
  ending, done, never = Ending("pretrain", exit_process=leave), [], threading.Event()
  ending.before_exit(never.wait)
  ending.before_exit(lambda: done.append(1))
  start = time.monotonic()
  with pytest.raises(Left, match="43"):
    ending.exit(43)
  never.set()
  assert done == [1] and 0.5 < time.monotonic() - start < 5


def test_it_says_why_and_where(capsys):
  ending, leave_it = Ending("pretrain", exit_process=leave), threading.Event()
  threading.Thread(target=leave_it.wait, daemon=True).start()
  with pytest.raises(Left, match=str(STUCK)):
    ending.end("no progress for 9 s in phase 'data' at step 3", status=STUCK)
  leave_it.set()
  said = capsys.readouterr().err.splitlines()
  assert any(line.startswith("--- thread ") for line in said), "stacks"
  assert said[-1].startswith("pretrain: no progress for 9 s in phase 'data' at step 3; start the")
  with pytest.raises(Left, match="1"):
    ending.end("the lock is gone", status=1)
  assert "--- thread" not in capsys.readouterr().err


def test_where_there_are_several_processes_all_are_told():
  told = []
  ending = Ending("pretrain", exit_process=leave)
  ending.end_all_by(lambda line, status: told.append((line, status)))
  ending.end("no progress", status=STUCK)
  assert told == [("no progress", STUCK)]


HEAD = """
import sys, threading, time
from pretrainjax.process import ending
threading.Thread(target=time.sleep, args=(600,)).start()
print("worked")
"""


@pytest.mark.parametrize(
  ("body", "status", "error"),
  [
    ("ending.as_process(lambda argv: 2)", 2, ""),
    ("ending.as_process(lambda argv: sys.exit(3))", 3, ""),
    ("ending.as_process(lambda argv: sys.exit('no'))", 1, ""),
    ("ending.as_process(lambda argv: argv['x'], ['a'])", 1, "TypeError: list indices"),
    ("ending._DONE = 0.2; ending.as_process(lambda argv: 0)", 0, "did not end within"),
  ],
)
def test_a_thread_does_not_keep_a_process(body, status, error):
  """A thread that is no daemon sleeps for ten minutes."""
  start = time.monotonic()
  done = subprocess.run(
    [sys.executable, "-c", HEAD + body], capture_output=True, text=True, timeout=60
  )
  assert done.returncode == status and done.stdout == "worked\n"
  assert error in done.stderr and (error or not done.stderr)
  assert done.stderr.count("Traceback") == ("TypeError" in error)
  assert time.monotonic() - start < 10
