"""The quarantine of damaged checkpoints: moved there with the reason, and never deleted."""

import datetime
import logging
import shutil
from pathlib import Path

from pretrainjax.untrusted import replace

FOLDER = "quarantine"
_log = logging.getLogger(__name__)


def move(step_folder: Path, quarantine: Path, *, reason: str) -> Path:
  """Moves the folder of a step into quarantine; to be called on one process only.

  Args:
    step_folder: the folder named by the step, which may be gone already.
    quarantine: the folder WORKDIR/quarantine, which is made if it is missing.
    reason: the reason in one line, which is kept in reason.txt.

  Returns:
    The path of its new folder: STEP-7, or STEP-7.1 where that is taken, and so on.
  """
  quarantine.mkdir(parents=True, exist_ok=True)
  name, taken = f"STEP-{step_folder.name}", contents(quarantine)
  names = (name, *(f"{name}.{n}" for n in range(1, len(taken) + 1)))
  target = quarantine / next(name for name in names if name not in taken)
  try:
    shutil.move(step_folder, target)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    replace(
      target / "reason.txt",
      f"{reason}\n\nset aside at {now}; it was {step_folder}: move it back to try it again\n",
    )
  except OSError as error:  # a full disk, a foreign folder: the run need not end of it
    _log.warning("%s cannot be set aside in %s: %s", step_folder, quarantine, error.strerror)
  return target


def contents(quarantine: Path) -> list[str]:
  """The names of the checkpoints in quarantine, sorted."""
  return sorted(path.name for path in quarantine.iterdir()) if quarantine.is_dir() else []
