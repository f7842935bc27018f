"""Writes the metrics of a run: to metrics.jsonl always, TensorBoard, Weights & Biases, MLflow.

Whatever depends on timing has a name that starts with "perf/"; all other numbers of a run that
was killed and started again are bitwise those of a run that never stopped.
"""

import dataclasses
import importlib
import itertools
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pretrainjax.errors import UserError
from pretrainjax.process.distributed import is_main
from pretrainjax.untrusted import read_lines, read_text, replace

METRICS = "metrics.jsonl"
# Rows that a spike of the loss has made a run take back.
_ROLLED_BACK = "metrics_before_roll_back.jsonl"
_LONGEST_NOTE = 1 << 10  # a line with the id of a run
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Tracking:
  """The services that metrics are written to beside metrics.jsonl.

  Attributes:
    tensorboard: whether to write event files to WORKDIR/tensorboard.
    wandb_project: the Weights & Biases project to log to; None does not.
    mlflow_experiment: the MLflow experiment to log to, at MLFLOW_TRACKING_URI; None does not.
  """

  tensorboard: bool = True
  wandb_project: str | None = None
  mlflow_experiment: str | None = None


@runtime_checkable
class Writer(Protocol):
  """A writer of metrics to one place."""

  def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
    """Writes the numbers of one step."""
    ...

  def roll_back(self, step: int) -> None:
    """Takes back what was written of later steps, as far as that is possible."""
    ...

  def close(self) -> None:
    """Writes what is left; may be called once."""
    ...


class Tracker:
  """Passes metrics to every writer that the config asks for, on process 0 only."""

  def __init__(
    self,
    workdir: str | Path,
    tracking: Tracking,
    *,
    step: int = 0,
    config: Mapping[str, Any] | None = None,
  ):
    """Opens the writers.

    Args:
      workdir: the run's folder, which exists.
      tracking: the services to write to.
      step: the step that the run goes on from; what was written of later steps is dropped.
      config: the config, which some services show beside the metrics.

    Raises:
      UserError: for a service whose package is not installed.
    """
    self._writers: list[Writer] = []
    if not is_main():
      return
    workdir = Path(workdir)
    # Services first: a missing package must not cost a row that is already written.
    services = (WandbWriter, tracking.wandb_project), (MlflowWriter, tracking.mlflow_experiment)
    for service, name in services:
      if name is not None:
        self._writers.append(_open(service, workdir, name, config))
    if tracking.tensorboard:
      self._writers.append(TensorBoardWriter(workdir, step=step))
    self._writers.append(JsonlWriter(workdir, step=step))

  def write(self, step: int, metrics: Mapping[str, Any]) -> None:
    """Writes scalars, host or device, of a step; nothing where there are none."""
    if not self._writers or not metrics:
      return
    values = {name: _number(name, value) for name, value in metrics.items()}
    for writer in self._writers:
      writer.write(step, values)

  def roll_back(self, step: int) -> None:
    """Rolls all writers back to `step`, an earlier one than the last."""
    for writer in self._writers:
      writer.roll_back(step)

  def close(self) -> None:
    """Closes all writers, also when one of them fails."""
    writers, self._writers = self._writers, []
    for writer in writers:
      try:
        writer.close()
      except Exception:  # the rows themselves are flushed, and the others still want closing
        _log.exception("%s did not close", type(writer).__name__)


class JsonlWriter:
  """WORKDIR/metrics.jsonl: one JSON object a row, "step" first, NaN and infinities as strings."""

  def __init__(self, workdir: Path, *, step: int = 0):
    """Opens the file, without the rows that lie after `step` or are cut short by a kill."""
    self._path = Path(workdir) / METRICS
    self._open(step)

  def _open(self, step: int) -> None:
    path, rows = self._path, _rows(self._path, step)
    content = b"".join(line for _, line in rows)
    if os.path.lexists(path) and b"".join(read_lines(path)) != content:
      replace(path, content)
    # Killed between a row and its checkpoint or the other way round, a run writes it again.
    self._written = {_kind(row) for row, _ in rows if row["step"] == step}
    self._file = path.open("a")

  def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
    """Appends a row, which a SIGKILL from then on cannot take back."""
    row = {"step": step} | {name: _json(value) for name, value in metrics.items()}
    if _kind(row) in self._written:
      return
    self._file.write(json.dumps(row, allow_nan=False) + "\n")
    self._file.flush()

  def roll_back(self, step: int) -> None:
    """Moves the rows of later steps to WORKDIR/metrics_before_roll_back.jsonl."""
    self._file.close()
    later = [line for row, line in _rows(self._path, math.inf) if row["step"] > step]
    with self._path.with_name(_ROLLED_BACK).open("ab") as file:
      file.writelines(later)
    self._open(step)

  def close(self) -> None:
    """Closes the file."""
    self._file.close()


class TensorBoardWriter:
  """Event files in WORKDIR/tensorboard, without TensorFlow."""

  def __init__(self, workdir: Path, *, step: int = 0):
    """Opens a new event file, which hides what older ones hold after `step`."""
    module = _import("tensorboardX", "tensorboard")
    folder, times = str(Path(workdir) / "tensorboard"), itertools.count()

    def open_from(step: int) -> Any:
      # Without the suffix a second writer within one second overwrites the first one's file.
      suffix = f".from_{step}.{next(times)}"
      return module.SummaryWriter(folder, purge_step=step + 1, filename_suffix=suffix)

    self._open_from = open_from
    self._writer = open_from(step)

  def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
    """Adds one point a number."""
    for name, value in metrics.items():
      self._writer.add_scalar(name, value, step)

  def roll_back(self, step: int) -> None:
    """Goes on in a new file, as after a restart."""
    self._writer.close()
    self._writer = self._open_from(step)

  def close(self) -> None:
    """Flushes and closes the event file."""
    self._writer.close()


class WandbWriter:
  """A Weights & Biases run that a run started again goes on with."""

  key = "wandb_project"

  def __init__(self, workdir: Path, project: str, *, config: Mapping[str, Any] | None = None):
    """Starts the run, or goes on with the one named in WORKDIR/wandb_run.txt."""
    wandb = _import("wandb", self.key)
    note = Path(workdir) / "wandb_run.txt"
    known = _read_note(note) if os.path.lexists(note) else None
    self._run = wandb.init(
      project=project,
      id=known,
      resume="allow",
      dir=str(workdir),
      name=Path(workdir).name,
      config=dict(config or {}),
    )
    replace(note, self._run.id)

  def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
    """Logs a step; the service itself drops steps that it already has.

    What is measured of an earlier step, when a run ends, goes to the run's summary.
    """
    if step < getattr(self._run, "step", 0):
      self._run.summary.update(dict(metrics) | {"chosen_step": step})
      return
    self._run.log(dict(metrics), step=step)

  def roll_back(self, step: int) -> None:
    """Does nothing: the service takes nothing back, and drops steps that it already has."""

  def close(self) -> None:
    """Ends the run."""
    self._run.finish()


class MlflowWriter:
  """An MLflow run, at MLFLOW_TRACKING_URI, that a run started again goes on with."""

  key = "mlflow_experiment"

  def __init__(self, workdir: Path, experiment: str, *, config: Mapping[str, Any] | None = None):
    """Starts the run, or goes on with the one named in WORKDIR/mlflow_run.txt."""
    mlflow = _import("mlflow", self.key)
    self._metric = mlflow.entities.Metric
    self._client = mlflow.MlflowClient()
    note = Path(workdir) / "mlflow_run.txt"
    if os.path.lexists(note):
      self._run_id = _read_note(note)
      self._client.update_run(self._run_id, status="RUNNING")
      return
    found = self._client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else self._client.create_experiment(experiment)
    run = self._client.create_run(experiment_id, run_name=Path(workdir).name)
    self._run_id = run.info.run_id
    replace(note, self._run_id)
    if config:
      self._client.log_dict(self._run_id, dict(config), "config.json")

  def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
    """Logs a step; a server that does not answer costs this step's numbers, not the run."""
    now = int(time.time() * 1000)
    batch = [self._metric(name, value, now, step) for name, value in metrics.items()]
    try:
      self._client.log_batch(self._run_id, metrics=batch)
    except Exception as error:
      _log.warning("MLflow did not take step %d: %s", step, error)

  def roll_back(self, step: int) -> None:
    """Does nothing: the service keeps both rows of a step that is done twice."""

  def close(self) -> None:
    """Marks the run as finished."""
    self._client.set_terminated(self._run_id)


def _open(service: Callable, workdir: Path, name: str, config: Mapping[str, Any] | None) -> Writer:
  """Opens a service; whatever it objects to (no key, no server) is the user's to mend."""
  try:
    return service(workdir, name, config=config)
  except UserError:
    raise
  except Exception as error:
    reason = " ".join(str(error).split())
    raise UserError(f"--config.train.tracking.{service.key}: found '{name}', {reason}") from error


def _import(module: str, key: str) -> ModuleType:
  try:
    return importlib.import_module(module)
  except ImportError as error:
    raise UserError(
      f"--config.train.tracking.{key}: needs the package '{module}', which cannot be imported "
      f"({error}); pip install {module}, or switch the flag off"
    ) from error


def _number(name: str, value: Any) -> float | int:
  array = np.asarray(value)
  if array.size != 1:
    raise ValueError(f"metric '{name}' has shape {array.shape}; a metric is a scalar")
  number = array.reshape(()).astype(np.float64 if array.dtype.kind not in "iub" else np.int64)
  return number.item()


def _json(value: float | int) -> float | int | str:
  return value if math.isfinite(value) else str(float(value))


def _kind(row: Mapping[str, Any]) -> tuple[str, ...]:
  """Which row it is: its step and names, apart from timing's, which come and go."""
  names = sorted(name for name in row if not name.startswith("perf/"))
  return (str(row["step"]), *names)


def _read_note(path: Path) -> str:
  return read_text(path, limit=_LONGEST_NOTE, inside=path.parent).strip()


def _rows(path: Path, step: int | float) -> list[tuple[dict[str, Any], bytes]]:
  """Rows up to `step` with their lines; a line that a kill cut short is none."""
  rows = []
  if not os.path.lexists(path):
    return rows
  for line in read_lines(path):
    try:
      row = json.loads(line)
      keep = line.endswith(b"\n") and row["step"] <= step
    except (ValueError, KeyError, TypeError, RecursionError):
      _log.warning("%s: dropped a broken line: %.60s", path, line.decode(errors="replace"))
      continue
    if keep:
      rows.append((row, line))
  return rows
