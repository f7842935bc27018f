"""Two sides of a comparison, each in a process of its own, timed in turn.

Threads of one framework may spin while the other computes, so the sides share no process: each
waits for its turn on its standard input, which costs no processor time.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class SideFailed(Exception):
  """A side ended, or could not do what it was asked for; the message says why."""


class Side:
  """A process that obeys `serve`.

  Args:
    command: to start it.
    environment: variables beside the present ones.
  """

  def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
    self._process = subprocess.Popen(
      command,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      env={**os.environ, **(environment or {})},
    )

  def ask(self, **request: Any) -> Any:
    """Sends a request {"do": name, ...}, see `serve`, and waits for the answer.

    Raises:
      SideFailed: where there is none.
    """
    self.send(**request)
    return self.answer()

  def send(self, **request: Any) -> None:
    """Sends a request; `answer` waits for what comes of it."""
    assert self._process.stdin
    try:
      self._process.stdin.write(json.dumps(request) + "\n")
      self._process.stdin.flush()
    except BrokenPipeError:
      raise SideFailed(self._ended()) from None

  def answer(self) -> Any:
    """Waits for the answer to the earliest request that has none yet."""
    assert self._process.stdout
    for line in self._process.stdout:
      word, _, rest = line.partition(" ")
      if word == "answer":
        return json.loads(rest)
      if word == "failed":
        raise SideFailed(json.loads(rest))
    raise SideFailed(self._ended())

  def close(self) -> None:
    """Ends the process once it has answered."""
    assert self._process.stdin
    self._process.stdin.close()
    self._process.wait()

  def kill(self) -> None:
    """Ends the process at once."""
    self._process.kill()
    self._process.wait()

  def _ended(self) -> str:
    return f"the process ended with exit code {self._process.wait()}"


def serve(handlers: Mapping[str, Callable[..., Any]]) -> None:
  """Answers requests {"do": name, ...} by `handlers[name](...)` until the input ends.

  What a handler raises is the answer to its request, in one line; the traceback goes to the
  standard error.
  """
  for line in sys.stdin:
    request = json.loads(line)
    try:
      answer = handlers[request.pop("do")](**request)
    except Exception as error:
      traceback.print_exc()
      reason = " ".join(f"{type(error).__name__}: {error}".split())
      print("failed " + json.dumps(reason[:500]), flush=True)
    else:
      print("answer " + json.dumps(answer), flush=True)


def seconds_per_step(run: Callable[[int], None], steps: int) -> float:
  """Wall-clock seconds of one of `steps` steps, which `run` finishes before it returns."""
  start = time.perf_counter()
  run(steps)
  return (time.perf_counter() - start) / steps


def alternate(
  sides: Mapping[str, Side], *, rounds: int, round_seconds: float
) -> dict[str, list[float]]:
  """Seconds a step of each side, one number a round; in every second round the order is turned.

  Args:
    sides: processes that serve "time" with `steps`.
    rounds: how often each has its turn.
    round_seconds: about how long a turn is.
  """
  steps = {
    name: max(1, round(round_seconds / side.ask(do="time", steps=3)))
    for name, side in sides.items()
  }
  times: dict[str, list[float]] = {name: [] for name in sides}
  for index in range(rounds):
    for name in list(sides)[:: -1 if index % 2 else 1]:
      times[name].append(sides[name].ask(do="time", steps=steps[name]))
  return times


def race(
  commands: Mapping[str, Sequence[str]],
  *,
  rounds: int,
  round_seconds: float,
  questions: Sequence[str] = ("about",),
) -> tuple[dict[str, list[float]], dict[str, dict[str, Any]]]:
  """`alternate` of processes that are started here, and what they say of themselves.

  Args:
    commands: to start each side, by its name.
    rounds: how often each has its turn.
    round_seconds: about how long a turn is.
    questions: requests without arguments, asked after the last turn; answers are dicts.

  Returns:
    Seconds a step of each side, one number a round; the answers of each side in one dict.
  """
  environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # on a GPU, leave others some memory
  sides = {}
  for name, command in commands.items():
    sides[name] = Side(command, environment)
    sides[name].ask(do="time", steps=1)  # the next one's autotuning wants the device for itself
  times = alternate(sides, rounds=rounds, round_seconds=round_seconds)
  about: dict[str, dict[str, Any]] = {name: {} for name in sides}
  for name, side in sides.items():
    for question in questions:
      about[name] |= side.ask(do=question)
    side.close()
  return times, about


def ratio(times: Mapping[str, Sequence[float]], ours: str, peer: str) -> tuple[float, float, float]:
  """(median, lowest, highest) over rounds of ours / peer, each round's turns being neighbours."""
  ratios = [a / b for a, b in zip(times[ours], times[peer], strict=True)]
  return statistics.median(ratios), min(ratios), max(ratios)
