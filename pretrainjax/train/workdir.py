"""A run's folder: the config it holds, and whether another run may go on in it."""

import json
import logging
from pathlib import Path

from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import FOLDER
from pretrainjax.config_text import difference, from_json, to_json
from pretrainjax.errors import UserError

CONFIG = "config.json"
# What may change between two starts of one run: it moves no number.
_HARMLESS = ("data.data_dir", "data.num_threads", "data.num_workers", "train.tracking.")
_log = logging.getLogger(__name__)


def claim(workdir: Path, config: ConfigDict, *, allow_change: bool) -> None:
  """Makes `workdir` this config's, or refuses it.

  Args:
    workdir: made if it is missing.
    config: resolved; written to WORKDIR/config.json.
    allow_change: go on from another config's checkpoints all the same.

  Raises:
    UserError: where the folder cannot be written, or holds checkpoints of another config.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    probe = workdir / ".write_probe"
    probe.write_text("")
    probe.unlink()
  except OSError as error:
    raise UserError(f"--workdir: cannot write to '{workdir}' ({error.strerror})") from error
  path = workdir / CONFIG
  if path.is_file() and has_checkpoints(workdir):
    changed = _changed(path, config)
    if changed and not allow_change:
      raise UserError(
        f"--workdir: '{workdir}' holds checkpoints of another config: {'; '.join(changed[:8])}"
        f"{f'; and {len(changed) - 8} more' if len(changed) > 8 else ''}; choose another "
        "--workdir, or say --allow_config_change to go on from them"
      )
    if changed:
      _log.warning("going on under a changed config: %s", "; ".join(changed))
  temporary = path.with_suffix(".tmp")
  temporary.write_text(to_json(config))
  temporary.replace(path)


def has_checkpoints(workdir: Path) -> bool:
  """Whether something was saved there."""
  return (workdir / FOLDER).is_dir() and any((workdir / FOLDER).iterdir())


def _changed(path: Path, config: ConfigDict) -> list[str]:
  try:
    old = from_json(path.read_text())
  except (json.JSONDecodeError, UserError) as error:
    raise UserError(f"{path}: is no config ({' '.join(str(error).split())})") from error
  return [line for line in difference(old, config) if not line.startswith(_HARMLESS)]
