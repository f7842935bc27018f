"""Where damaged checkpoints go: they are moved, with the reason beside them, and never deleted."""

import datetime
import logging
import shutil
from pathlib import Path

FOLDER = "quarantine"
_log = logging.getLogger(__name__)


def move(step_folder: Path, quarantine: Path, *, reason: str) -> Path:
  """Moves a step out of the run's way; for one process of those that share it.

  Args:
    step_folder: named by the step; need not be there any more.
    quarantine: WORKDIR/quarantine, made if it is missing.
    reason: one line, kept in reason.txt.

  Returns:
    Where it lies now: STEP-7, or STEP-7.1 where that is taken, and so on.
  """
  quarantine.mkdir(parents=True, exist_ok=True)
  name, taken = f"STEP-{step_folder.name}", held(quarantine)
  names = (name, *(f"{name}.{n}" for n in range(1, len(taken) + 1)))
  target = quarantine / next(name for name in names if name not in taken)
  try:
    shutil.move(step_folder, target)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    (target / "reason.txt").write_text(
      f"{reason}\n\nset aside at {now}; it was {step_folder}: move it back to try it again\n"
    )
  except OSError as error:  # a full disk, a foreign folder: the run need not end of it
    _log.warning("%s cannot be set aside in %s: %s", step_folder, quarantine, error.strerror)
  return target


def held(quarantine: Path) -> list[str]:
  """Names of what lies there."""
  return sorted(path.name for path in quarantine.iterdir()) if quarantine.is_dir() else []
