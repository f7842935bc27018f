"""Claims a workdir for a config, and refuses one that holds checkpoints of another config."""

import contextlib
import logging
import os
import secrets
import socket
import time
from pathlib import Path

from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import FOLDER, Checkpoints
from pretrainjax.checkpoint.sealed import Damaged
from pretrainjax.config.allowed import TargetError, names_of_others
from pretrainjax.config.objects import typed
from pretrainjax.config.text import difference, read_json, to_json
from pretrainjax.errors import UserError
from pretrainjax.process.distributed import agree, gather, is_connected, is_main
from pretrainjax.untrusted import MAX_JSON, BadFile, read_text, replace, try_to_write

CONFIG = "config.json"
# Keys of datasets that may change between two starts of one run: they move no number. Of a
# catalogue nothing is read but before step 1, and other data than then are refused anyway.
# The same holds of the rule that gave a learning rate: the rate itself is compared.
_HARMLESS = ("data_dir", "catalogue", "num_threads", "num_workers", "base_learning_rate")
# The file that process 0 writes for the others to find.
_PROBE = ".processes"
_LONGEST_PROBE = 1 << 10
_log = logging.getLogger(__name__)


def make_workdir(workdir: Path) -> None:
  """Makes the folder if it is missing.

  Args:
    workdir: the folder of the run.

  Raises:
    UserError: where nothing can be written in it.
  """
  try:
    try_to_write(workdir)
  except OSError as error:
    raise UserError(f"--workdir: cannot write to '{workdir}' ({error.strerror})") from error


def claim(workdir: Path, config: ConfigDict, *, allow_change: bool) -> None:
  """Claims `workdir` for a config, or refuses it; to be called on one process only.

  Args:
    workdir: the run's folder, which is made if it is missing.
    config: the resolved config, which is written to WORKDIR/config.json.
    allow_change: whether to go on from another config's checkpoints all the same.

  Raises:
    UserError: where the folder cannot be written, or holds checkpoints of another config.
  """
  make_workdir(workdir)
  path, old = workdir / CONFIG, _old_config(workdir)
  if old is not None:
    with contextlib.suppress(TargetError):  # then it differs, and stays as it was written
      old = typed(old, allow=names_of_others(config))
    different = difference(old, _without_new_keys(config, old))
    layout = [line for line in different if line.startswith("parallel.")]
    changed = [line for line in different if line not in layout and not _is_harmless(line)]
    if changed and not allow_change:
      raise UserError(
        f"--workdir: '{workdir}' holds checkpoints of another config: {'; '.join(changed[:8])}"
        f"{f'; and {len(changed) - 8} more' if len(changed) > 8 else ''}; choose another "
        "--workdir, or say --allow_config_change to go on from them"
      )
    if changed:
      _log.warning("going on under a changed config: %s", "; ".join(changed))
    if layout:
      _log.warning(
        "going on in another layout: %s; the same examples in the same order, numbers equal to "
        "float tolerance",
        "; ".join(layout),
      )
  replace(path, to_json(config))


def check_shared(workdir: Path, *, seconds: float = 30.0) -> None:
  """Checks that all processes see the same folder, and waits until all have come here.

  Args:
    workdir: the run's folder, claimed by process 0.
    seconds: the time that a network's file system may take to show a new file.

  Raises:
    UserError: naming the hosts that see another folder, or none.
  """
  if not is_connected():
    return
  path = workdir / _PROBE
  probe = agree("the mark in --workdir", secrets.token_hex(8) if is_main() else "")
  if is_main():
    replace(path, probe)
  said = gather("--workdir", "" if _shows(path, probe, seconds) else socket.gethostname())
  if is_main():
    path.unlink(missing_ok=True)
  blind = [f"process {i} on {host}" for i, host in enumerate(said) if host]
  if blind:
    raise UserError(
      f"--workdir: {', '.join(blind)} does not see what process 0 writes to '{workdir}', expected "
      "a folder that all processes share"
    )


def _shows(path: Path, text: str, seconds: float) -> bool:
  end = time.monotonic() + seconds
  while True:
    try:
      if read_text(path, limit=_LONGEST_PROBE) == text:
        return True
    except BadFile:
      pass  # not yet
    if time.monotonic() > end:
      return False
    time.sleep(0.1)


def _without_new_keys(config: ConfigDict, old: ConfigDict) -> ConfigDict:
  """A config without what older ones could not say, where it says that all is as it was."""
  lora = config.get("lora")
  if "lora" in old or lora is None or lora.get("rank"):
    return config
  return ConfigDict({key: config[key] for key in config if key != "lora"}, sort_keys=False)


def _is_harmless(line: str) -> bool:
  key = line.partition(":")[0]
  if line == "init: (absent) -> None":  # older configs of pretraining have no such key
    return True
  return key.split(".")[-1] in _HARMLESS or key.startswith("train.tracking.")


def has_checkpoints(workdir: Path) -> bool:
  """Whether a folder holds a checkpoint, whole or not."""
  return (workdir / FOLDER).is_dir() and any((workdir / FOLDER).iterdir())


def _old_config(workdir: Path) -> ConfigDict | None:
  """The config that the checkpoints of a folder were made with; None without checkpoints."""
  path = workdir / CONFIG
  if not has_checkpoints(workdir):
    return None
  if not os.path.lexists(path):  # lost, but each checkpoint has its own
    with Checkpoints(workdir, read_only=True) as checkpoints:
      for step in checkpoints.steps():
        with contextlib.suppress(Damaged):  # which is told where the arrays are read
          return checkpoints.config(step)
      return None
  try:
    return read_json(read_text(path, limit=MAX_JSON, inside=workdir))
  except BadFile as error:
    raise UserError(f"{path}: is no config ({error.reason})") from error
  except (ValueError, UserError) as error:
    raise UserError(f"{path}: is no config ({' '.join(str(error).split())})") from error
