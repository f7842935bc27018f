import json
import sys
import time

import pytest
from alternate import Side, SideFailed, serve
from visit import visit as visits

# Answers "echo", fails at "fail", and sleeps at "sleep".
PROGRAM = """
import sys, time
sys.path.insert(0, "benchmarks")
from alternate import serve
def fail():
  raise ValueError("no\\nroom")
serve({"echo": lambda x: x, "fail": fail, "sleep": lambda: time.sleep(60)})
"""


@pytest.fixture
def side():
  side = Side([sys.executable, "-c", PROGRAM])
  yield side
  side.kill()


@pytest.fixture
def visit(tmp_path):
  return visits.Visit(tmp_path, minutes=1, sizes="tiny", dtype="float32")


def found(tmp_path):
  return json.loads((tmp_path / "visit.json").read_text())


def test_a_request_that_fails_says_why_and_the_next_is_served(side):
  assert side.ask(do="echo", x=[1, 2]) == [1, 2]
  with pytest.raises(SideFailed, match="ValueError: no room"):
    side.ask(do="fail")
  side.send(do="echo", x=3)
  assert side.answer() == 3


def test_a_process_that_ends_is_told(side):
  side.kill()
  with pytest.raises(SideFailed, match="ended with exit code -9"):
    side.ask(do="echo", x=1)


def test_serve_is_what_this_process_can_do(monkeypatch, capsys):
  monkeypatch.setattr("sys.stdin", iter(['{"do": "twice", "x": 4}\n']))
  serve({"twice": lambda x: 2 * x})
  assert capsys.readouterr().out == "answer 8\n"


def test_results_are_on_disk_at_once(visit, tmp_path):
  with visit:
    visit.record("steps", model="a", ratio=0.5)
    assert found(tmp_path)["results"] == [{"part": "steps", "model": "a", "ratio": 0.5}]
    visit.record("sweep", batch=1)
  assert len(found(tmp_path)["results"]) == 2 and "seconds" in found(tmp_path)
  assert visit.results("sweep") == [{"part": "sweep", "batch": 1}]


def test_what_fails_is_reported_and_the_rest_goes_on(visit, tmp_path):
  def fail():
    raise ValueError("no room")

  with visit:
    visit.attempt(fail, part="steps", model="a")
    visit.attempt(lambda: visit.record("steps", model="b"), part="steps", model="b")
  expected = {"part": "steps", "model": "a", "reason": "ValueError: no room"}
  assert found(tmp_path)["failed"] == [expected]
  assert [r["model"] for r in found(tmp_path)["results"]] == ["b"]


def test_the_limit_ends_what_runs_and_leaves_the_rest_out(tmp_path, monkeypatch):
  visit = visits.Visit(tmp_path, minutes=0.02, sizes="tiny", dtype="float32")
  script = tmp_path / "script.py"
  script.write_text("import time; time.sleep(60)")
  monkeypatch.setattr(visits, "SCRIPT", script)
  start = time.monotonic()

  def wait():
    with visit.process("checks") as process:
      process.ask(do="echo")

  with visit:
    visit.attempt(wait, part="checks")
    visit.attempt(lambda: visit.record("steps"), part="steps")
  assert time.monotonic() - start < 20
  rows = found(tmp_path)
  assert [row["part"] for row in rows["left"]] == ["checks", "steps"]
  assert not rows["failed"] and not rows["results"]
