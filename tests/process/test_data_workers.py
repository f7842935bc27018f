"""A worker process dies with its trainer, however that dies and whatever the worker does."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pretrainjax.process import data_workers

TRAINER = """
import multiprocessing, os, sys, time
from pretrainjax.process.data_workers import EndWithTrainer

def work(trainer, ready):
  EndWithTrainer(trainer)(0, 1)
  ready.set()
  {body}

if __name__ == "__main__":
  context = multiprocessing.get_context("spawn")
  ready = context.Event()
  worker = context.Process(target=work, args=(os.getpid(), ready), daemon=True)
  worker.start()
  ready.wait()
  print(worker.pid, flush=True)
  {end}
"""


def is_alive(pid: int) -> bool:
  """Whether a process lives, and is not only waiting to be reaped."""
  try:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
  except FileNotFoundError:
    return False


def wait_for_end(pid: int, seconds: float = 5.0) -> bool:
  """Whether a process ended in time."""
  end = time.monotonic() + seconds
  while is_alive(pid) and time.monotonic() < end:
    time.sleep(0.02)
  return not is_alive(pid)


@pytest.mark.parametrize("body", ["time.sleep(600)", "signal.pause()"])
def test_a_worker_dies_with_a_killed_trainer(body, tmp_path):
  script = tmp_path / "trainer.py"
  script.write_text("import signal\n" + TRAINER.format(body=body, end="time.sleep(600)"))
  trainer = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
  worker = int(trainer.stdout.readline())
  assert is_alive(worker)
  trainer.kill()
  trainer.communicate()
  assert wait_for_end(worker)


def test_a_trainer_that_has_gone_already_is_noticed():
  gone = subprocess.Popen(["true"])
  gone.wait()
  program = (
    "import time; from pretrainjax.process.data_workers import EndWithTrainer; "
    f"EndWithTrainer({gone.pid})(0, 1)"
  )
  worker = subprocess.run([sys.executable, "-c", f"{program}; time.sleep(30)"], timeout=20)
  assert worker.returncode == -signal.SIGKILL


def test_without_the_kernels_word_the_parent_is_looked_at(monkeypatch):
  monkeypatch.delattr(os, "pidfd_open", raising=False)
  looked = []
  monkeypatch.setattr(os, "getppid", lambda: looked.append(1) or (7 if len(looked) < 3 else 1))
  killed = []
  monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
  monkeypatch.setattr(data_workers, "_POLL_SECONDS", 0.01)
  data_workers.EndWithTrainer(7)._watch()
  assert len(looked) == 3 and killed == [(os.getpid(), signal.SIGKILL)]


def sleepy() -> None:
  data_workers.EndWithTrainer(os.getppid())(0, 1)
  Path(os.environ["READY"]).touch()
  time.sleep(600)


def test_workers_say_what_they_do_and_can_be_ended(tmp_path, monkeypatch, capfd):
  monkeypatch.setenv("READY", str(tmp_path / "ready"))
  context = multiprocessing.get_context("spawn")
  other = context.Process(target=time.sleep, args=(600,), daemon=True)
  worker = context.Process(target=sleepy, daemon=True, name=f"{data_workers._NAME}-1")
  other.start()
  worker.start()
  while not (tmp_path / "ready").exists():
    time.sleep(0.02)
  data_workers.write_stacks()
  assert "in sleepy" in capfd.readouterr().err
  assert data_workers.live_workers() == [worker]
  assert data_workers.kill() == 1
  worker.join(5)
  assert worker.exitcode == -signal.SIGKILL
  assert other.is_alive(), "another's child"
  other.kill()
  other.join()
