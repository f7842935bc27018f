"""Standard output that is closed, full or no longer read loses what is said, nothing else."""

import subprocess
import sys

import binaries
import pytest

from pretrainjax.command import BINARIES, VERBS

PROGRAM = """
from pretrainjax.process.ending import as_process
def main(argv):
  for _ in range(20000):
    print("a line of text")
  open({done!r}, "w").close()
  return {status}
as_process(main)
"""


def shell(tmp_path, redirect: str, *, status: int = 0) -> subprocess.CompletedProcess:
  (tmp_path / "program.py").write_text(PROGRAM.format(done=str(tmp_path / "done"), status=status))
  command = f"set -o pipefail; {sys.executable} {tmp_path / 'program.py'} {redirect}"
  return subprocess.run(
    ["bash", "-c", command],
    env={"PYTHONPATH": str(binaries.ROOT), "PATH": "/usr/bin:/bin"},
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize(
  ("redirect", "status", "said"),
  [
    (">&-", 0, ""),
    ("<&- >&- 2>&-", 0, ""),
    ("| head -1", 0, ""),
    ("2>/dev/full | head -1", 0, ""),
    (
      ">/dev/full",
      2,
      "error: standard output: cannot be written (No space left on device); all is done\n",
    ),
    (">/dev/full 2>/dev/full", 2, ""),
  ],
)
def test_the_work_goes_on(redirect, status, said, tmp_path):
  done = shell(tmp_path, redirect)
  assert (tmp_path / "done").exists()
  assert (done.returncode, done.stderr) == (status, said)


def test_another_status_stays(tmp_path):
  assert shell(tmp_path, ">/dev/full", status=42).returncode == 42


def test_ctrl_c_while_modules_are_imported():
  """Whatever takes long is imported inside of `as_process`."""
  # The package of `config` is what config files import; its console script is covered.
  verbs = set(VERBS) - {"config", "configs"}
  binaries_of = (BINARIES.get(verb, verb) for verb in sorted(verbs))
  modules = ("pretrainjax.__main__", *(f"pretrainjax.{module}" for module in binaries_of))
  program = (
    f"import sys, {', '.join(modules)}\n"
    "assert not {'jax', 'ml_collections', 'numpy'} & set(sys.modules)\n"
    "from pretrainjax.process.ending import as_process\n"
    "def main(argv):\n  raise KeyboardInterrupt\n"
    "as_process(main)\n"
  )
  done = subprocess.run(
    [sys.executable, "-c", program], cwd=binaries.ROOT, capture_output=True, text=True
  )
  assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
