"""Several processes are one run: its numbers, its folder, and how it ends when one of them does."""

import signal
import subprocess
import time
from pathlib import Path

import binaries
import numpy as np
import pytest
import synthetic
from trials import assert_same_state, numbers_of

from pretrainjax.checkpoint.manager import Checkpoints

SIMCLR = str(binaries.ROOT / "configs/pretrain/image/simclr_vit_fashion_mnist.py") + ":smoke"
GPT = str(binaries.ROOT / "configs/pretrain/text/gpt_sotu.py") + ":smoke"
NO_EVALS = ("--config.train.tracking.tensorboard=false",)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


def arguments(workdir: Path, data: Path, *more: str, steps: int, config: str = binaries.MAE):
  return (
    f"--config={config}",
    f"--workdir={workdir}",
    f"--data_dir={data}",
    f"--config.train.duration.steps={steps}",
    *more,
  )


def succeed(
  *args, processes: int, devices: int = 1, verb: str = "pretrain"
) -> list[binaries.Ended]:
  ended = binaries.finish_all(
    binaries.start_many(verb, *args, processes=processes, devices=devices)
  )
  assert [e.status for e in ended] == [0] * processes, ended
  return ended


def assert_close(one: Path, other: Path) -> None:
  """Losses and gradients are the same to float tolerance, row by row."""
  rows, others = numbers_of(one), numbers_of(other)
  assert [r["step"] for r in rows] == [r["step"] for r in others]
  assert any("loss" in row for row in rows)
  for a, b in zip(rows, others, strict=True):
    assert a.keys() == b.keys()
    for name in a.keys() & {"loss", "grad_norm", "learning_rate"}:
      np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=f"{name} of {a['step']}")


def assert_same(one: Path, other: Path, step: int) -> None:
  """The states of a step are the same bits, the metrics the same numbers."""
  assert_same_state(one, other, step)
  assert numbers_of(one) == numbers_of(other)


def wait_for_rows(workdir: Path, rows: int, running: list[subprocess.Popen]) -> None:
  path = workdir / "metrics.jsonl"
  while not path.exists() or path.read_bytes().count(b"\n") < rows:
    assert all(process.poll() is None for process in running), binaries.finish_all(running)
    time.sleep(0.01)


@pytest.mark.repeat
def test_two_processes_are_one_run(tmp_path, data):
  """The one in the default suite: sum, folder and words of two processes."""
  alone, two = tmp_path / "alone", tmp_path / "two"
  first = binaries.start("pretrain", *arguments(alone, data, *binaries.QUICK, steps=3))
  ended = succeed(*arguments(two, data, *binaries.QUICK, steps=3), processes=2)
  assert binaries.finish(first).status == 0
  assert_close(alone, two)
  assert ended[0].out.startswith("distributed: 2 processes, by flags")
  assert "[Gloo]" in ended[1].out and len(ended[1].out.splitlines()) == 1, "the second is silent"
  assert ended[1].errors == []
  names = {path.name for path in two.iterdir()}
  assert names == {
    *("checkpoints", "class_names.json", "config.json", "curves.png", "metrics.jsonl"),
  }


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_simclr(processes, tmp_path, data):
  for count in (1, processes):
    args = arguments(tmp_path / str(count), data, *NO_EVALS, steps=4, config=SIMCLR)
    succeed(*args, processes=count)
  assert_close(tmp_path / "1", tmp_path / str(processes))


@pytest.mark.slow
def test_mae_on_four_processes(tmp_path, data):
  for count in (1, 4):
    succeed(*arguments(tmp_path / str(count), data, *binaries.QUICK, steps=6), processes=count)
  assert_close(tmp_path / "1", tmp_path / "4")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_causal_language_model(processes, tmp_path):
  synthetic.prepare("sotu", tmp_path / "data")
  for count in (1, processes):
    args = arguments(tmp_path / str(count), tmp_path / "data", *NO_EVALS, steps=4, config=GPT)
    succeed(*args, processes=count)
  assert_close(tmp_path / "1", tmp_path / str(processes))


@pytest.mark.slow
def test_pmap_over_two_processes(tmp_path, data):
  pmap = ("--config.parallel.mode=pmap", *binaries.QUICK)
  succeed(*arguments(tmp_path / "1", data, *binaries.QUICK, steps=6), processes=1)
  succeed(*arguments(tmp_path / "2", data, *pmap, steps=6), processes=2, devices=2)
  assert_close(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_one_of_two_is_killed(victim, tmp_path, data):
  """The other says so and ends within seconds; started again, they end as if nothing had been."""
  calm, troubled = tmp_path / "calm", tmp_path / "troubled"
  more = ("--config.train.checkpoint_every=5", *binaries.QUICK)
  succeed(*arguments(calm, data, *more, steps=30), processes=2)
  command = arguments(troubled, data, *more, steps=30)
  running = binaries.start_many("pretrain", *command, processes=2)
  wait_for_rows(troubled, 12, running)
  running[victim].kill()
  struck = time.monotonic()
  ended = binaries.finish_all(running)
  assert time.monotonic() - struck < 20
  assert ended[victim].status == -signal.SIGKILL
  survivor = ended[1 - victim]
  assert survivor.status == 43, survivor
  assert f"process lost: process {victim} (" in survivor.errors[-1]
  assert f"pid {running[victim].pid}" in survivor.errors[-1]
  assert "start the same command again to go on" in survivor.errors[-1]
  assert not any("Traceback" in line for line in survivor.errors)
  succeed(*command, processes=2)
  assert_same(calm, troubled, 30)


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_one_of_two_is_asked_to_stop(asked, tmp_path, data):
  calm, troubled = tmp_path / "calm", tmp_path / "troubled"
  succeed(*arguments(calm, data, *binaries.QUICK, steps=60), processes=2)
  command = arguments(troubled, data, *binaries.QUICK, steps=60)
  running = binaries.start_many("pretrain", *command, processes=2)
  wait_for_rows(troubled, 5, running)
  running[asked].terminate()
  ended = binaries.finish_all(running)
  assert [e.status for e in ended] == [42, 42], ended
  saved = int(ended[0].errors[-1].partition("saved step ")[2].split()[0])
  assert 5 < saved < 60
  with Checkpoints(troubled, read_only=True) as checkpoints:
    assert checkpoints.steps() == [saved]
  again = succeed(*command, processes=2)
  assert f"going on from step {saved} of 60" in again[0].out
  assert_same(calm, troubled, 60)


@pytest.mark.slow
def test_a_folder_that_is_not_shared_is_told(tmp_path, data):
  other = tmp_path / "other"
  other.mkdir()
  running = binaries.start_many(
    "pretrain",
    *arguments(tmp_path / "one", data, steps=4),
    processes=2,
    own={1: [f"--workdir={other}"]},
  )
  ended = binaries.finish_all(running)
  assert [e.status for e in ended] == [2, 2]
  assert "--workdir: process 1 on" in ended[0].errors[-1]
  assert "expected a folder that all processes share" in ended[0].errors[-1]


@pytest.mark.slow
def test_an_error_of_one_process_ends_both_at_once(tmp_path, data):
  """A mistake that only one process can make: its data are elsewhere."""
  running = binaries.start_many(
    "pretrain",
    *arguments(tmp_path / "run", data, steps=4),
    processes=2,
    own={1: [f"--data_dir={tmp_path / 'nowhere'}"]},
  )
  ended = binaries.finish_all(running, timeout=60)
  assert [e.status for e in ended] == [2, 2]
  assert "nowhere" in ended[1].errors[-1]
  assert "nowhere" in ended[0].errors[-1] and "process 1" in ended[0].errors[-1]


@pytest.mark.slow
def test_an_exception_of_one_process_is_told_once_and_ends_both_at_once(tmp_path, data):
  """Only the second process writes a trace, and where it would, a file lies."""
  run = tmp_path / "run"
  run.mkdir()
  (run / "profile").write_text("")
  running = binaries.start_many(
    "pretrain",
    *arguments(run, data, *binaries.QUICK, steps=200),
    processes=2,
    own={1: ["--profile"]},
  )
  wait_for_rows(run, 1, running)
  struck = time.monotonic()
  ended = binaries.finish_all(running, timeout=60)
  assert time.monotonic() - struck < 30
  assert [e.status for e in ended] == [43, 1]
  assert sum("Traceback" in line for e in ended for line in e.errors) == 1
  assert "process lost: process 1 (" in ended[0].errors[-1]
  assert " failed: " in ended[0].errors[-1]


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [0, 1])
def test_one_of_two_freezes(frozen, tmp_path, data):
  """Its connections stay open: only its silence tells."""
  running = binaries.start_many(
    "pretrain",
    *arguments(tmp_path / "run", data, *binaries.QUICK, "--heartbeat_timeout=4", steps=2000),
    processes=2,
  )
  wait_for_rows(tmp_path / "run", 5, running)
  running[frozen].send_signal(signal.SIGSTOP)
  struck = time.monotonic()
  try:
    survivor = binaries.finish(running[1 - frozen], timeout=60)
  finally:
    running[frozen].kill()
    binaries.finish(running[frozen])
  assert time.monotonic() - struck < 30
  assert survivor.status == 43, survivor
  assert f"process lost: process {frozen} (" in survivor.errors[-1]
  # Process 0 judges; where it is itself frozen, XLA's time limit ends the run.
  said = "did not answer for 4 s" if frozen else "the coordinator, is silent"
  assert f"pid {running[frozen].pid})" in survivor.errors[-1] and said in survivor.errors[-1]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_finetuning_on_two_processes(mode, tmp_path, data):
  succeed(*arguments(tmp_path / "mae", data, *binaries.QUICK, steps=2), processes=2)
  config = str(binaries.ROOT / "configs/finetune/image/vit_fashion_mnist.py") + ":smoke"
  init = (f"--config.init={tmp_path / 'mae'}", *NO_EVALS)
  for count in (1, 2):
    args = arguments(tmp_path / str(count), data, *init, steps=4, config=config)
    succeed(*args, f"--config.parallel.mode={mode}", processes=count, verb="finetune")
  assert_close(tmp_path / "1", tmp_path / "2")
