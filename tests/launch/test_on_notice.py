"""A machine that is taken away: the command is asked to stop, by what the metadata server says."""

import http.server
import importlib.util
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "launch" / "on_notice.py"
# Leaves with 42 on SIGTERM, as our binaries do.
COMMAND = (
  "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(42)); "
  "print('ready', flush=True); time.sleep(30)"
)


class Metadata(http.server.BaseHTTPRequestHandler):
  """Says what `answers` holds; waits for a change where it is asked to."""

  answers = {"maintenance-event": "NONE", "preempted": "FALSE"}

  def do_GET(self):
    assert self.headers["Metadata-Flavor"] == "Google"
    path, _, query = self.path.partition("?")
    key = path.removeprefix("/computeMetadata/v1/instance/")
    before = self.answers[key]
    while "wait_for_change=true" in query and self.answers[key] == before:
      time.sleep(0.01)
    self.send_response(200)
    self.end_headers()
    self.wfile.write(self.answers[key].encode())

  def log_message(self, *_):
    pass


@pytest.fixture
def server(monkeypatch):
  monkeypatch.setattr(Metadata, "answers", dict(Metadata.answers))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    Metadata.answers.update({"maintenance-event": "END", "preempted": "END"})  # frees its threads
    server.shutdown()


def run(host: str, *command: str) -> subprocess.Popen:
  return subprocess.Popen(
    [sys.executable, SCRIPT, "--", *command],
    env={"GCE_METADATA_HOST": host, "PATH": ""},
    stdout=subprocess.PIPE,
    text=True,
  )


@pytest.mark.parametrize(
  ("key", "value"),
  [("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE"), ("preempted", "TRUE")],
)
def test_a_notice_asks_the_command_to_stop(server, key, value):
  process = run(f"127.0.0.1:{server.server_port}", sys.executable, "-c", COMMAND)
  assert process.stdout.readline() == "ready\n"
  time.sleep(0.3)
  assert process.poll() is None, "all is well so far"
  Metadata.answers[key] = value
  out, _ = process.communicate(timeout=10)
  assert process.returncode == 42
  assert out == f"launch/on_notice.py: {key} is {value}: asking the run to save and stop\n"


def test_without_notice_the_status_is_the_commands(server):
  host = f"127.0.0.1:{server.server_port}"
  assert run(host, sys.executable, "-c", "raise SystemExit(43)").wait(timeout=10) == 43
  assert (
    run(host, sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").wait(timeout=10) == 137
  )


def test_elsewhere_it_says_so_once_and_goes_on(capsys, monkeypatch):
  found = importlib.util.spec_from_file_location("on_notice", SCRIPT)
  on_notice = importlib.util.module_from_spec(found)
  found.loader.exec_module(on_notice)
  monkeypatch.setattr(on_notice, "HOST", "127.0.0.1:1")  # nobody listens there
  on_notice.watch("preempted", pytest.fail, pause=0.0)
  assert "no metadata server at 127.0.0.1:1" in capsys.readouterr().out
