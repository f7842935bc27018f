"""What a launch script says it would do."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def printed(launcher: Sequence[str | Path], command: Sequence[str] = ()) -> str:
  """Runs a launcher in the repository's folder and returns what it prints, without that folder.

  Args:
    launcher: the script and its flags.
    command: what it should launch, after "--"; () leaves "--" out too.
  """
  program, *flags = map(str, launcher)
  interpreter = [sys.executable] if program.endswith(".py") else ["bash"]
  arguments = [*interpreter, program, *flags, *(["--", *command] if command else [])]
  done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=60)
  assert done.returncode == 0, done.stderr
  return done.stdout.replace(f"{ROOT}/", "")
