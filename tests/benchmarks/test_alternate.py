import sys

from alternate import alternate, race, ratio

# A side that remembers how often it was asked, and says that a step takes STEP seconds.
SIDE = """
import json, sys
log, step = [], float(sys.argv[1])
for line in sys.stdin:
  request = json.loads(line)
  log.append(request)
  print("noise on the way", flush=True)
  answer = step if request["do"] == "time" else {request["do"]: log}
  print("answer " + json.dumps(answer), flush=True)
"""


def command(seconds):
  return [sys.executable, "-c", SIDE, str(seconds)]


class Said:
  """A side in this process."""

  def __init__(self, name, step, log):
    self.name, self.step, self.log = name, step, log

  def ask(self, *, do, steps):
    assert do == "time"
    self.log.append((self.name, steps))
    return self.step


def test_turns_take_about_the_wanted_time_and_change_their_order():
  log = []
  sides = {"a": Said("a", 0.5, log), "b": Said("b", 2.0, log)}
  times = alternate(sides, rounds=2, round_seconds=4.0)
  assert times == {"a": [0.5, 0.5], "b": [2.0, 2.0]}
  assert log[2:] == [("a", 8), ("b", 2), ("b", 2), ("a", 8)]


def test_a_race_starts_times_and_asks_every_side():
  times, about = race(
    {"slow": command(3.0), "fast": command(1.0)},
    rounds=2,
    round_seconds=3.0,
    questions=("about", "account"),
  )
  assert times == {"slow": [3.0, 3.0], "fast": [1.0, 1.0]}
  steps = [request["steps"] for request in about["fast"]["about"] if request["do"] == "time"]
  assert steps == [1, 3, 3, 3]  # to be ready, to know how many, and two turns
  assert about["slow"]["account"][-1] == {"do": "account"}


def test_the_ratio_is_of_neighbours():
  """The machine's mood, which is that of both turns of a round, drops out."""
  times = {"ours": [1.0, 10.0, 3.0], "peer": [2.0, 20.0, 3.0]}
  assert ratio(times, "ours", "peer") == (0.5, 0.5, 1.0)
