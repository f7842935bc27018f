"""launch/local.py with tiny processes: ends, signals, restarts, and the text of its dry run."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dry_run
import pytest

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "launch/local.py"
_SPEC = importlib.util.spec_from_file_location("local", LOCAL)
local = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(local)


def launch(tmp_path: Path, program: str, *flags: str, processes: int = 2) -> subprocess.Popen:
  """Starts `program` in so many processes; in it, `me` is its number and `seen` a folder."""
  head = (
    "import os, pathlib, signal, sys, time\n"
    "me = int(sys.argv[-1].split('=')[1])\n"
    f"seen = pathlib.Path({str(tmp_path)!r})\n"
  )
  return subprocess.Popen(
    [sys.executable, LOCAL, f"--num_processes={processes}", *flags]
    + ["--", sys.executable, "-c", head + program],
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def end(process: subprocess.Popen) -> tuple[int, str]:
  """Status and output of a launcher that should soon end."""
  try:
    output, _ = process.communicate(timeout=30)
  finally:
    process.kill()
  return process.returncode, output


def wait_for(*paths: Path) -> None:
  """Waits until the processes have written these."""
  deadline = time.monotonic() + 20
  while not all(path.exists() for path in paths):
    assert time.monotonic() < deadline, f"{paths} were not written"
    time.sleep(0.02)


def is_alive(path: Path) -> bool:
  """Whether the process whose id is in a file lives."""
  try:
    state = Path(f"/proc/{int(path.read_text())}/stat").read_text().rsplit(")", 1)[1].split()[0]
  except FileNotFoundError:
    return False
  return state != "Z"


def test_lines_carry_the_number_and_processes_get_their_flags(tmp_path):
  status, output = end(launch(tmp_path, "print('hello', sys.argv[1:])", processes=3))
  assert status == 0
  lines = sorted(output.splitlines())
  assert [line[:9] for line in lines] == ["[0] hello", "[1] hello", "[2] hello"]
  for i, line in enumerate(lines):
    assert f"'--num_processes=3', '--process_id={i}'" in line
  assert len({line.split("'")[1] for line in lines}) == 1, "one coordinator for all"


def test_one_that_fails_ends_the_others_and_their_children(tmp_path):
  program = (
    "import subprocess\n"
    "if me == 0:\n"
    "  child = subprocess.Popen(['sleep', '60'])\n"
    "  (seen / 'child').write_text(str(child.pid)); (seen / 'zero').write_text(str(os.getpid()))\n"
    "  time.sleep(60)\n"
    "while not (seen / 'zero').exists(): time.sleep(0.01)\n"
    "os.kill(os.getpid(), signal.SIGKILL)"
  )
  status, output = end(launch(tmp_path, program, "--grace=0.3"))
  assert status == 128 + signal.SIGKILL
  assert "process 0 did not follow the others" in output
  assert not is_alive(tmp_path / "zero") and not is_alive(tmp_path / "child")


@pytest.mark.parametrize(
  ("ends", "status"),
  [
    ({0: 42, 1: 42}, 42),  # all saved
    ({0: 42, 1: 0}, 42),
    ({0: 43, 1: 1}, 1),  # the one that failed, not the one that lost it
    ({0: 43, 1: 43}, 43),
    ({0: 2, 1: 43}, 2),
    ({0: 43, 1: 42}, 43),
  ],
)
def test_the_status_explains_the_end(tmp_path, ends, status):
  assert end(launch(tmp_path, f"sys.exit({ends}[me])"))[0] == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_all_and_ends_the_restarts(tmp_path, number):
  program = (
    f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
    "(seen / f'ready{me}').touch(); time.sleep(60)"
  )
  launcher = launch(tmp_path, program, "--max_restarts=3")
  wait_for(tmp_path / "ready0", tmp_path / "ready1")
  launcher.send_signal(number)
  status, output = end(launcher)
  assert status == 42
  assert "restart" not in output


def test_one_that_saves_is_waited_for_beyond_the_grace(tmp_path):
  program = "time.sleep(0.6 * me); (seen / f'saved{me}').touch(); sys.exit(42)"
  assert end(launch(tmp_path, program, "--grace=0.1"))[0] == 42
  assert (tmp_path / "saved1").exists()


def test_a_failure_is_started_again_on_another_port_until_it_goes_well(tmp_path):
  program = (
    "tries = len(list(seen.glob('try*')))\n"
    "(seen / f'try{tries}').write_text(sys.argv[1])\n"
    "sys.exit(0 if tries else 43)"
  )
  status, output = end(launch(tmp_path, program, "--max_restarts=2", processes=1))
  assert status == 0
  assert "ended with 43; restart 1 of 2 in 1 s" in output
  ports = [path.read_text() for path in tmp_path.glob("try*")]
  assert len(set(ports)) == 2
  assert all(port.startswith("--coordinator_address=127.0.0.1:") for port in ports)


@pytest.fixture
def handlers():
  """Signal handlers are as they were afterwards."""
  before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
  yield
  for number, handler in before.items():
    signal.signal(number, handler)


def test_one_process_is_started_again_whatever_ended_it(tmp_path, monkeypatch, capfd, handlers):
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  monkeypatch.setattr(local, "FIRST_PAUSE", 0.01)
  program = (
    "import os, pathlib, sys\n"
    f"tries = pathlib.Path({str(tmp_path / 'tries')!r})\n"
    "with tries.open('a') as file: file.write('x')\n"
    "status = [1, 42, 43, 124, 137, 0][len(tries.read_text()) - 1]\n"
    "os.kill(os.getpid(), 9) if status == 137 else sys.exit(status)"
  )
  assert local.main(["--max_restarts=5", "--", sys.executable, "-c", program]) == 0
  said = capfd.readouterr().out
  for restart, status in enumerate([1, 42, 43, 124, 137], start=1):
    assert f"ended with {status}; restart {restart} of 5 in " in said


def test_pauses_double_until_there_is_a_new_checkpoint(tmp_path, monkeypatch, handlers):
  """The fourth attempt saves, the others fail as they are; counts go on."""
  monkeypatch.setattr(local, "FIRST_PAUSE", 0.01)
  monkeypatch.setattr(local, "LONGEST_PAUSE", 0.04)
  said, attempts = [], []
  monkeypatch.setattr(local, "say", said.append)
  workdir = tmp_path / "run"

  class Attempt:
    def __init__(self, flags):
      attempts.append(1)
      if len(attempts) == 4:
        (workdir / "checkpoints" / "10").mkdir(parents=True)

    def wait(self, grace):
      return 124

  for command in ([f"--workdir={workdir}"], ["--workdir", str(workdir)]):
    flags = local.parse(["--max_restarts=6", "--", "train", *command])
    assert local.supervise(flags, Attempt) == 124
    pauses = [line.rpartition(" in ")[2] for line in said]
    assert pauses == ["0.01 s", "0.02 s", "0.04 s", "0.01 s", "0.01 s", "0.02 s"]
    assert said[-1].startswith("ended with 124; restart 6 of 6")
    said.clear(), attempts.clear()
    (workdir / "checkpoints" / "10").rmdir()
    (workdir / "checkpoints").rmdir()


def test_a_signal_ends_a_pause_too(tmp_path):
  launcher = launch(tmp_path, "sys.exit(43)", "--max_restarts=9", processes=1)
  while "in 2 s" not in launcher.stdout.readline():
    pass
  launcher.terminate()
  start = time.monotonic()
  assert end(launcher)[0] == 43
  assert time.monotonic() - start < 1


def test_processes_are_asked_to_stop_when_the_launcher_is_killed(tmp_path):
  program = (
    "def saved(*_): (seen / f'saved{me}').touch(); os._exit(42)\n"
    "signal.signal(signal.SIGTERM, saved)\n"
    "(seen / f'ready{me}').touch(); time.sleep(60)"
  )
  launcher = launch(tmp_path, program)
  wait_for(tmp_path / "ready0", tmp_path / "ready1")
  launcher.kill()
  wait_for(tmp_path / "saved0", tmp_path / "saved1")
  launcher.communicate()


def test_a_mistake_is_not_repeated(tmp_path):
  status, output = end(launch(tmp_path, "print('tried'); sys.exit(2)", "--max_restarts=3"))
  assert status == 2
  assert output.count("tried") == 2  # each process once


def test_dry_run(monkeypatch, golden):
  monkeypatch.setenv("JAX_PLATFORMS", "cpu")
  monkeypatch.delenv("XLA_FLAGS", raising=False)
  command = ["python", "-m", "pretrainjax.pretrain", "--config=configs/a.py", "--workdir=runs/a b"]
  flags = [LOCAL, "--num_processes=2", "--port=8476", "--dry-run"]
  golden("launch/local_cpu.txt", dry_run.printed([*flags, "--devices_per_process=4"], command))
  monkeypatch.delenv("JAX_PLATFORMS")
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
  golden("launch/local_gpu.txt", dry_run.printed(flags, command))


def test_more_processes_than_gpus_are_refused(monkeypatch):
  monkeypatch.delenv("JAX_PLATFORMS", raising=False)
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
  done = subprocess.run(
    [sys.executable, LOCAL, "--num_processes=3", "--", "true"], capture_output=True, text=True
  )
  assert done.returncode == 2
  assert "found 3 x 1, expected <= 2 GPUs" in done.stderr


def test_the_processes_of_an_attempt_have_a_secret_of_their_own(tmp_path):
  program = (
    "secret = os.environ['PRETRAINJAX_SECRET']\n"
    "assert secret not in pathlib.Path('/proc/self/cmdline').read_text()\n"
    "with (seen / str(me)).open('a') as file:\n"
    "  file.write(secret + chr(10))\n"
    "while len((seen / str(1 - me)).read_text().split() if (seen / str(1 - me)).exists() else ()) "
    "< len((seen / str(me)).read_text().split()):\n"
    "  pass\n"
    "sys.exit(3 if len((seen / str(me)).read_text().split()) == 1 else 0)\n"
  )
  status, output = end(launch(tmp_path, program, "--max_restarts=1"))
  assert status == 0, output
  first, second = (tmp_path / name for name in "01")
  assert first.read_text() == second.read_text()
  assert len(set(first.read_text().split())) == 2 and len(first.read_text().split()[0]) == 64
