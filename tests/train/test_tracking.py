"""Metrics on their way to files and services."""

import json
import sys
import types
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.errors import UserError
from pretrainjax.train import tracking
from pretrainjax.train.tracking import METRICS, JsonlWriter, Tracker, Tracking

PLAIN = Tracking(tensorboard=False)


def rows(workdir):
  return [json.loads(line) for line in (workdir / METRICS).read_text().splitlines()]


def write_steps(workdir, steps, *, step=0):
  tracker = Tracker(workdir, PLAIN, step=step)
  for i in steps:
    tracker.write(i, {"loss": 1 / i, "perf/seconds": 3.0})
    if i % 2 == 0:
      tracker.write(i, {"knn/top1": 0.5})
  tracker.close()


def test_rows(tmp_path):
  tracker = Tracker(tmp_path, PLAIN)
  metrics = {
    "loss": jnp.float32(0.1),
    "bad_steps": np.int32(3),
    "one": np.ones((1,)),
    "half": jnp.bfloat16(0.5),
    "nan": jnp.nan,
    "inf": -np.inf,
  }
  tracker.write(7, metrics)
  tracker.write(8, {})
  text = (tmp_path / METRICS).read_text()
  assert text.startswith('{"step": 7, "loss": ') and text.endswith("}\n"), "flushed at once"
  expected = {"step": 7, "loss": float(np.float32(0.1)), "bad_steps": 3, "one": 1.0, "half": 0.5}
  assert rows(tmp_path) == [expected | {"nan": "nan", "inf": "-inf"}]
  assert np.float32(rows(tmp_path)[0]["loss"]) == np.float32(0.1), "bit for bit"
  tracker.close()
  tracker.close()


def test_a_metric_is_a_scalar(tmp_path):
  tracker = Tracker(tmp_path, PLAIN)
  with pytest.raises(ValueError, match=r"metric 'loss' has shape \(2,\)"):
    tracker.write(1, {"loss": np.zeros(2)})
  tracker.close()


@pytest.mark.parametrize("killed_after", [4, 5, 6])
def test_killed_and_resumed_equals_never_stopped(tmp_path, killed_after):
  whole, resumed = tmp_path / "whole", tmp_path / "resumed"
  whole.mkdir(), resumed.mkdir()
  write_steps(whole, range(1, 9))
  write_steps(resumed, range(1, killed_after + 1))
  with (resumed / METRICS).open("a") as file:
    file.write('{"step": 7, "lo')  # killed while it wrote
  write_steps(resumed, range(5, 9), step=4)
  assert rows(resumed) == rows(whole)
  assert not list(resumed.glob("*.tmp"))


def test_rows_of_the_step_of_the_checkpoint_come_once(tmp_path):
  write_steps(tmp_path, range(1, 5))
  tracker = Tracker(tmp_path, PLAIN, step=4)
  tracker.write(4, {"knn/top1": 0.5})
  tracker.write(4, {"loss": 0.25})
  tracker.write(4, {"probe/top1": 0.5})
  tracker.close()
  assert [sorted(r) for r in rows(tmp_path) if r["step"] == 4] == [
    ["loss", "perf/seconds", "step"],
    ["knn/top1", "step"],
    ["probe/top1", "step"],
  ]


def test_from_the_start_drops_what_lay_there(tmp_path):
  write_steps(tmp_path, range(1, 4))
  JsonlWriter(tmp_path, step=0).close()
  assert rows(tmp_path) == []


def test_broken_lines_are_dropped_aloud(tmp_path, caplog):
  (tmp_path / METRICS).write_text('{"step": 1}\nnot json\n[]\n{"loss": 2}\n{"step": 2}\n')
  JsonlWriter(tmp_path, step=2).close()
  assert rows(tmp_path) == [{"step": 1}, {"step": 2}]
  assert caplog.text.count("broken line") == 3


@pytest.mark.parametrize(
  "end", [b"\xff\xfe\x00", b'{"step": 3, "loss\xff": 1.0}\n', b"[" * 100_000]
)
def test_bytes_that_are_no_text_are_dropped_too(end, tmp_path, caplog):
  write_steps(tmp_path, [1])
  before = (tmp_path / METRICS).read_bytes()
  (tmp_path / METRICS).write_bytes(before + end)
  write_steps(tmp_path, [], step=5)
  assert (tmp_path / METRICS).read_bytes() == before
  assert "dropped a broken line" in caplog.text


def test_an_intact_file_is_not_rewritten(tmp_path):
  write_steps(tmp_path, range(1, 4))
  inode = (tmp_path / METRICS).stat().st_ino
  JsonlWriter(tmp_path, step=3).close()
  assert (tmp_path / METRICS).stat().st_ino == inode


def test_only_the_first_process_writes(tmp_path, monkeypatch):
  monkeypatch.setattr(tracking, "is_main", lambda: False)
  tracker = Tracker(tmp_path, Tracking(wandb_project="not installed"))
  tracker.write(1, {"loss": 1.0})
  tracker.close()
  assert not list(tmp_path.iterdir())


def test_tensorboard(tmp_path):
  pytest.importorskip("tensorboardX")
  for step in (0, 2):
    tracker = Tracker(tmp_path, Tracking(), step=step)
    tracker.write(step + 1, {"loss": jnp.float32(0.5), "nan": np.nan})
    tracker.close()
  from tensorboardX import proto

  files = sorted((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
  assert files and "tensorflow" not in sys.modules
  found = [event for file in files for event in _events(file, proto.event_pb2.Event)]
  points = [(e.step, v.tag, v.simple_value) for e in found for v in e.summary.value]
  assert {p for p in points if p[1] == "loss"} == {(1, "loss", 0.5), (3, "loss", 0.5)}
  starts = [e.step for e in found if e.session_log.status == e.session_log.START]
  assert starts == [1, 3], "older points from there on are hidden"


def _events(path, kind):
  """Reads TFRecord framing: length, checksum, payload, checksum."""
  data, at = Path(path).read_bytes(), 0
  while at < len(data):
    length = int.from_bytes(data[at : at + 8], "little")
    yield kind.FromString(data[at + 12 : at + 12 + length])
    at += 16 + length


@pytest.mark.parametrize(
  "asked, flag, package",
  [
    (Tracking(wandb_project="p"), "wandb_project", "pip install wandb"),
    (Tracking(mlflow_experiment="e"), "mlflow_experiment", "pip install mlflow"),
    (Tracking(), "tensorboard", "pip install tensorboardX"),
  ],
)
def test_missing_package(tmp_path, monkeypatch, asked, flag, package):
  for module in ("wandb", "mlflow", "tensorboardX"):
    monkeypatch.setitem(sys.modules, module, None)
  (tmp_path / METRICS).write_text('{"step": 1}\n')
  with pytest.raises(UserError) as error:
    Tracker(tmp_path, asked)
  message = str(error.value)
  assert f"--config.train.tracking.{flag}" in message and package in message
  assert "\n" not in message
  assert rows(tmp_path) == [{"step": 1}], "nothing that was there is lost"


class FakeWandb(types.ModuleType):
  def __init__(self):
    super().__init__("wandb")
    self.inits, self.logged, self.finished = [], [], 0

  def init(self, **kwargs):
    self.inits.append(kwargs)
    self.id = kwargs["id"] or "run1"
    return self

  def log(self, metrics, *, step):
    self.logged.append((step, metrics))

  def finish(self):
    self.finished += 1


def test_wandb(tmp_path, monkeypatch):
  fake = FakeWandb()
  monkeypatch.setitem(sys.modules, "wandb", fake)
  asked = Tracking(tensorboard=False, wandb_project="project")
  for step in (1, 2):
    tracker = Tracker(tmp_path, asked, step=step - 1, config={"seed": 0})
    tracker.write(step, {"loss": jnp.float32(0.5)})
    tracker.close()
  assert [i["id"] for i in fake.inits] == [None, "run1"], "started again, the same run goes on"
  assert fake.inits[0]["project"] == "project" and fake.inits[0]["config"] == {"seed": 0}
  assert fake.logged == [(1, {"loss": 0.5}), (2, {"loss": 0.5})] and fake.finished == 2


class FakeMlflow(types.ModuleType):
  """What MlflowWriter uses of the real one, which test_real_mlflow checks where installed."""

  def __init__(self):
    super().__init__("mlflow")
    self.entities = types.SimpleNamespace(Metric=lambda *args: args)
    self.experiments, self.runs, self.logged, self.ended = {}, [], [], []
    self.down = False

  def MlflowClient(self):
    return self

  def get_experiment_by_name(self, name):
    return self.experiments.get(name)

  def create_experiment(self, name):
    self.experiments[name] = types.SimpleNamespace(experiment_id=name + "_id")
    return name + "_id"

  def create_run(self, experiment_id, *, run_name):
    self.runs.append((experiment_id, run_name))
    return types.SimpleNamespace(info=types.SimpleNamespace(run_id=f"run{len(self.runs)}"))

  def update_run(self, run_id, *, status):
    self.ended.append((run_id, status))

  def log_dict(self, run_id, config, name):
    self.config = config

  def log_batch(self, run_id, *, metrics):
    if self.down:
      raise OSError("no route")
    self.logged += [(run_id, name, value, step) for name, value, _, step in metrics]

  def set_terminated(self, run_id):
    self.ended.append((run_id, "FINISHED"))


def test_mlflow(tmp_path, monkeypatch, caplog):
  fake = FakeMlflow()
  monkeypatch.setitem(sys.modules, "mlflow", fake)
  asked = Tracking(tensorboard=False, mlflow_experiment="digits")
  for step in (1, 3):
    tracker = Tracker(tmp_path, asked, step=step - 1, config={"seed": 0})
    tracker.write(step, {"loss": 0.5})
    fake.down = step == 3
    tracker.write(step + 1, {"loss": 0.25})
    tracker.close()
  assert fake.runs == [("digits_id", tmp_path.name)] and fake.config == {"seed": 0}
  assert fake.logged == [
    ("run1", "loss", 0.5, 1),
    ("run1", "loss", 0.25, 2),
    ("run1", "loss", 0.5, 3),
  ]
  assert "did not take step 4" in caplog.text
  assert [s for _, s in fake.ended] == ["FINISHED", "RUNNING", "FINISHED"]
  assert rows(tmp_path)[-1] == {"step": 4, "loss": 0.25}, "the file has it all the same"


def test_real_mlflow(tmp_path, monkeypatch):
  mlflow = pytest.importorskip("mlflow")
  monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
  monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
  asked = Tracking(tensorboard=False, mlflow_experiment="digits")
  for step in (1, 2):
    tracker = Tracker(tmp_path, asked, step=step - 1, config={"seed": 0})
    tracker.write(step, {"loss": 0.5, "perf/waiting": 0.0})
    tracker.close()
  client = mlflow.MlflowClient()
  run_id = (tmp_path / "mlflow_run.txt").read_text()
  assert [m.step for m in client.get_metric_history(run_id, "loss")] == [1, 2]
  assert client.get_run(run_id).info.status == "FINISHED"


def test_a_service_that_refuses_is_one_line(tmp_path, monkeypatch):
  def init(self, **kwargs):
    raise RuntimeError("no API key\nrun wandb login")

  monkeypatch.setattr(FakeWandb, "init", init)
  monkeypatch.setitem(sys.modules, "wandb", FakeWandb())
  with pytest.raises(UserError, match="tracking.wandb_project: found 'p', no API key run wandb"):
    Tracker(tmp_path, Tracking(wandb_project="p"))


def test_one_writer_that_fails_to_close_stops_no_other(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "wandb", FakeWandb())
  monkeypatch.setattr(FakeWandb, "finish", lambda self: 1 / 0)
  tracker = Tracker(tmp_path, Tracking(tensorboard=False, wandb_project="p"))
  file = tracker._writers[-1]._file
  tracker.close()
  assert file.closed
