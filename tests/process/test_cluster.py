"""Who decides how many processes there are: flags, environment, cluster, or nobody."""

import argparse

import pytest

from pretrainjax.errors import UserError
from pretrainjax.process import cluster
from pretrainjax.process.cluster import Cluster, detected, find

THREE = ("--coordinator_address=node1:1234", "--num_processes=4", "--process_id=3")
ENVIRONMENT = {
  "PRETRAINJAX_COORDINATOR_ADDRESS": "node7:99",
  "PRETRAINJAX_NUM_PROCESSES": "2",
  "PRETRAINJAX_PROCESS_ID": "1",
}
SLURM = {
  "SLURM_JOB_ID": "8",
  "SLURM_STEP_NODELIST": "n[01-02]",
  "SLURM_NTASKS": "4",
  "SLURM_PROCID": "2",
  "SLURM_LOCALID": "0",
  "SLURM_STEP_NUM_TASKS": "4",
  "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}


def flags(*arguments: str) -> argparse.Namespace:
  parser = argparse.ArgumentParser()
  cluster.add_flags(parser)
  return parser.parse_args(arguments)


def nothing(environ, timeout):
  del environ, timeout


def something(environ, timeout):
  del environ, timeout
  return Cluster(8, 5, "c:1", "by a test")


def test_flags_come_first():
  found = find(flags(*THREE), ENVIRONMENT, detect=something)
  assert found == Cluster(4, 3, "node1:1234", "by flags")
  assert found.line() == "distributed: 4 processes, by flags, coordinator node1:1234"


def test_then_the_environment_also_for_what_flags_leave_open():
  found = find(flags(), ENVIRONMENT, detect=something)
  assert found == Cluster(2, 1, "node7:99", "by PRETRAINJAX_ variables")
  assert find(flags("--process_id=0"), ENVIRONMENT) == Cluster(2, 0, "node7:99", "by flags")


def test_the_secret_of_a_run_comes_by_the_environment_and_is_not_shown():
  secret = {"PRETRAINJAX_SECRET": "s3"}
  for found in (
    find(flags(*THREE), secret),
    find(flags(), ENVIRONMENT | secret),
    find(flags(), secret, detect=something),
  ):
    assert found.secret == "s3" and "s3" not in found.line()
  assert find(flags(*THREE), {}).secret == ""


def test_then_the_cluster_then_nobody():
  assert find(flags(), {}, detect=something).source == "by a test"
  alone = find(flags(), {}, detect=nothing)
  assert (alone.num_processes, alone.process_id) == (1, 0)
  assert alone.line() == "distributed: one process, as no cluster was found"


def test_it_can_be_switched_off_and_demanded():
  assert find(flags("--distributed=off", *THREE), {}, detect=something).num_processes == 1
  with pytest.raises(UserError, match="--distributed: found on, but no cluster; expected --coord"):
    find(flags("--distributed=on"), {}, detect=nothing)
  with pytest.raises(UserError, match="--distributed: found 'yes', expected auto, on or off"):
    find(flags("--distributed=yes"), {})


@pytest.mark.parametrize(
  ("arguments", "environ", "message"),
  [
    (THREE[:2], {}, r"--process_id: found nothing, expected it \(or \$PRETRAINJAX_PROCESS_ID\)"),
    (THREE[2:], {}, "--coordinator_address: found nothing"),
    ((), {"PRETRAINJAX_PROCESS_ID": "0"}, r"beside \$PRETRAINJAX_PROCESS_ID"),
    ((*THREE, "--coordinator_address=node1"), {}, "found 'node1', expected HOST:PORT"),
    ((*THREE, "--coordinator_address=node1:70000"), {}, "'node1:70000', expected HOST:PORT"),
    ((*THREE, "--num_processes=two"), {}, "--num_processes: found 'two'"),
    ((*THREE, "--process_id=4"), {}, "--process_id: found '4', expected 0 to 3, as there are 4"),
    ((*THREE, "--process_id=-1"), {}, "--process_id: found '-1', expected 0 to 3"),
    ((), ENVIRONMENT | {"PRETRAINJAX_PROCESS_ID": "2"}, r"\$PRETRAINJAX_PROCESS_ID: found '2'"),
    (("--initialization_timeout=0",), {}, "--initialization_timeout: found '0', expected whole"),
  ],
)
def test_what_is_malformed_is_named(arguments, environ, message):
  with pytest.raises(UserError, match=message):
    find(flags(*arguments), environ, detect=nothing)


@pytest.fixture
def slurm(monkeypatch):
  """Sets SLURM's variables, which JAX reads itself; gives them back."""

  def use(**changes):
    for name, value in (SLURM | changes).items():
      monkeypatch.setenv(name, value)
    return SLURM | changes

  return use


def test_slurm_is_found(slurm):
  environ = slurm()
  assert detected(environ, 1) == Cluster(4, 2, "n01:61448", "by SLURM")


def test_a_task_that_has_its_node_alone_takes_all_devices(slurm):
  """JAX would give it one of them."""
  found = detected(slurm(SLURM_STEP_TASKS_PER_NODE="1(x4)"), 1)
  assert found is not None and found.local_device_ids == ()
  mixed = detected(slurm(SLURM_STEP_TASKS_PER_NODE="1,2"), 1)
  assert mixed is not None and mixed.local_device_ids is None


@pytest.mark.parametrize(
  "changes",
  [
    {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
    {"SLURM_STEP_NUM_TASKS": "1"},  # a shell of `salloc --ntasks=4`
  ],
)
def test_one_task_is_one_process(changes, slurm):
  assert detected(slurm(**changes), 1) is None


def test_open_mpi_is_found(monkeypatch):
  for name, value in {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
  }.items():
    monkeypatch.setenv(name, value)
  found = detected({}, 1)
  assert found is not None
  assert (found.num_processes, found.process_id, found.source) == (2, 1, "by Open MPI")
  assert found.address.startswith("10.96.0.1:")


def test_nothing_is_found_here_nor_in_a_pod_of_no_job(monkeypatch):
  assert detected({}, 1) is None
  monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
  assert detected({}, 1) is None, "a notebook's pod is no job"
