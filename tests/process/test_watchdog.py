"""No progress is noticed, said where, and nothing else is taken for it."""

import sys
import threading
import time

import pytest

from pretrainjax.process.watchdog import Watchdog, write_stacks


class Trial:
  """A watchdog, and what it said."""

  def __init__(self, seconds: float = 0.2):
    self.said: list[str] = []
    self.dog = Watchdog(seconds, on_stuck=self.said.append)

  def waits(self, seconds: float) -> list[str]:
    """What was said within so many seconds, or as soon as something was."""
    end = time.monotonic() + seconds
    while not self.said and time.monotonic() < end:
      time.sleep(0.01)
    return self.said


@pytest.fixture
def trial():
  made = Trial()
  yield made
  made.dog.stop()


def test_a_phase_that_does_not_end_is_named(trial):
  with trial.dog.phase("step"):
    trial.dog.begin_step(7)
    with trial.dog.phase("data"):
      assert trial.waits(5) == ["no progress for 0 s in phase 'data' at step 7"]
      time.sleep(0.1)
      assert len(trial.said) == 1, "the time begins anew"
      trial.said.clear()
      assert trial.waits(5), "it is said again, if that did not end the process"


def test_steps_are_progress(trial):
  with trial.dog.phase("step"):
    for step in range(30):
      trial.dog.begin_step(step)
      time.sleep(0.02)
  assert trial.said == []


def test_the_phase_around_begins_anew(trial):
  """0.15 s within it and 0.15 s in it are not 0.3 s of one phase."""
  with trial.dog.phase("step"):
    for _ in range(3):
      with trial.dog.phase("data"):
        time.sleep(0.12)
      time.sleep(0.12)
  assert trial.said == []


def test_the_first_compilation_and_what_is_outside_may_take_long(trial):
  with trial.dog.phase("start"):
    time.sleep(0.4)
  time.sleep(0.4)
  assert trial.said == []


def test_an_evaluation_may_take_four_times_as_long():
  trial = Trial(0.2)
  start = time.monotonic()
  with trial.dog.phase("evaluation"):
    assert "in phase 'evaluation'" in trial.waits(10)[0]
  assert time.monotonic() - start > 0.75


def test_zero_seconds_start_no_thread():
  trial = Trial(0.0)
  before = threading.active_count()
  with trial.dog.phase("step"):
    assert threading.active_count() == before
  trial.dog.stop()


def test_time_in_which_the_watchdog_itself_stood_still_is_not_counted():
  """A process that is stopped and goes on finds that hours have passed."""
  dog = Watchdog(10.0, on_stuck=lambda line: None)
  dog._phases = ("step",)
  assert not dog._is_stuck(1.0)
  assert not dog._is_stuck(3600.0), "one look is worth two seconds at most"
  assert dog.activity().seconds == pytest.approx(3.0)
  assert any(dog._is_stuck(1.0) for _ in range(8)), "the same without a pause is noticed"


def test_a_phase_costs_little():
  dog = Watchdog(0.0)
  start = time.perf_counter()
  for _ in range(10_000):
    with dog.phase("data"):
      pass
  assert (time.perf_counter() - start) / 10_000 < 50e-6  # about 2e-6


def test_stacks_name_threads_and_lines(capsys):
  inside, leave = threading.Event(), threading.Event()

  def wait_for_a_bus():
    inside.set()
    leave.wait()

  waiting = threading.Thread(target=wait_for_a_bus, name="passenger")
  waiting.start()
  inside.wait()
  write_stacks()
  leave.set()
  waiting.join()
  said = capsys.readouterr().err
  assert "--- thread passenger\n" in said and "in wait_for_a_bus" in said
  assert sys._getframe().f_code.co_name not in said, "the one who writes is left out"
