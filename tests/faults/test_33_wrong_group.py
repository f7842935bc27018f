"""A port in use, a number twice, a wrong count, a host that is missing or has a loopback name.

One line says so, before JAX starts and before the time limit for starting is over.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import binaries
import pytest

from pretrainjax.process import distributed


def start(tmp_path, data, port: int, index: int, count: int, limit: int):
  return binaries.start(
    "pretrain",
    f"--config={binaries.MAE}",
    f"--workdir={tmp_path}",
    f"--data_dir={data}",
    f"--coordinator_address=localhost:{port}",
    f"--num_processes={count}",
    f"--process_id={index}",
    f"--initialization_timeout={limit}",
  )


def free_port() -> int:
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    return probe.getsockname()[1]


def ends(running: list) -> list[binaries.Ended]:
  with ThreadPoolExecutor(len(running)) as pool:
    return list(pool.map(binaries.finish, running))


@pytest.mark.slow
@pytest.mark.parametrize(
  ("processes", "said"),
  [
    ([(0, 3), (1, 3), (1, 3)], "pretrain: error: --process_id: found 1 twice, on "),
    ([(0, 2), (1, 3)], "pretrain: error: --num_processes: found 3 on process 1 ("),
    ([(0, 3), (1, 2)], "pretrain: error: --num_processes: found 2 on process 1 ("),
  ],
)
def test_a_mistake_is_told_to_all(processes, said, tmp_path, data, trial):
  port, began = free_port(), time.monotonic()
  for ended in ends([start(tmp_path, data, port, *who, 120) for who in processes]):
    assert ended.status == 2 and ended.errors[-1].startswith(said), ended
    assert not any("Traceback" in line for line in ended.errors)
  seconds = time.monotonic() - began
  assert seconds < 60
  trial(seconds=seconds)


@pytest.mark.slow
def test_a_port_in_use(tmp_path, data, trial):
  with socket.create_server(("", 0)) as taken:
    port, began = taken.getsockname()[1], time.monotonic()
    (ended,) = ends([start(tmp_path, data, port, 0, 2, 120)])
  assert ended.status == 2
  assert ended.errors == [e for e in ended.errors if f"port {port} is taken on" in e]
  trial(seconds=time.monotonic() - began)


def test_a_host_known_to_itself_as_loopback(monkeypatch, trial):
  addresses = {"me": "127.0.1.1", "first": "10.0.0.1"}
  monkeypatch.setattr(socket, "gethostbyname", addresses.__getitem__)
  warning = distributed.loopback_warning("first", "me")
  assert warning is not None and "give it its network address in /etc/hosts" in warning
  trial()


@pytest.mark.slow
@pytest.mark.parametrize(("alone", "said"), [(0, "process 1 did not come"), (1, "process 0 did")])
def test_a_process_that_does_not_come(alone, said, tmp_path, data, trial):
  began = time.monotonic()
  (ended,) = ends([start(tmp_path, data, free_port(), alone, 2, 4)])
  assert ended.status == 43, ended
  assert ended.errors[-1].startswith("pretrain: could not join the run at localhost:")
  assert said in ended.errors[-1] and "within 4 s" in ended.errors[-1]
  trial(seconds=time.monotonic() - began)
