"""The manifests fit Kubernetes' schema and JobSet's, and say what image and binaries expect.

A JobSet is no type that kubernetes-validate knows. Its jobs are batch/v1 Jobs, and validated as
such, strictly; the rest is held to JobSet's own schema (jobset_schema.json says where it is from).
"""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).with_name("jobset_schema.json")).read_text())
KUBERNETES = "1.33"
MANIFESTS = sorted((ROOT / "launch").glob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
  """The one document of a manifest."""
  return yaml.safe_load(path.read_text())


def validate(jobset: dict[str, Any]) -> None:
  """Raises for what neither schema knows."""
  jsonschema.validate(jobset, SCHEMA)
  for replicated in jobset["spec"]["replicatedJobs"]:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": replicated["name"]}}
    kubernetes_validate.validate(job | replicated["template"], KUBERNETES, strict=True)


def job_of(jobset: dict[str, Any]) -> dict[str, Any]:
  """The spec of its only kind of job."""
  (replicated,) = jobset["spec"]["replicatedJobs"]
  return replicated["template"]["spec"]


def container_of(jobset: dict[str, Any]) -> dict[str, Any]:
  """The only container of its pods."""
  (container,) = job_of(jobset)["template"]["spec"]["containers"]
  return container


def test_there_is_one_for_gpus_and_one_for_tpus():
  assert [path.name for path in MANIFESTS] == ["jobset_gpu.yaml", "jobset_tpu.yaml"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_fit_the_schemas(path):
  validate(load(path))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_schemas_see_mistakes(path):
  def broken(change: Any) -> dict[str, Any]:
    jobset = copy.deepcopy(load(path))
    change(jobset)
    return jobset

  mistakes = [
    lambda j: j["spec"].update(failurePolcy={}),
    lambda j: j["spec"]["failurePolicy"].update(maxRestarts="20"),
    lambda j: j["spec"]["failurePolicy"]["rules"][0].update(action="Restart"),
    lambda j: job_of(j).update(parallelism="4"),
    lambda j: job_of(j).update(backofLimit=0),
    lambda j: container_of(j).update(arguments=[]),
  ]
  for change in mistakes:
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
      validate(broken(change))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_exit_statuses_are_told_apart(path):
  """2 fails, 42 restarts uncounted, all else restarts: the rules read the message of the job."""
  jobset = load(path)
  job, pod = job_of(jobset), job_of(jobset)["template"]["spec"]
  (rule,) = job["podFailurePolicy"]["rules"]
  assert rule["onExitCodes"]["values"] == [2, 42]
  assert rule["onExitCodes"]["containerName"] == container_of(jobset)["name"]
  # What Kubernetes asks of a job with such a policy, and the schema does not say.
  assert pod["restartPolicy"] == "Never" and job["backoffLimit"] == 0
  rules = jobset["spec"]["failurePolicy"]["rules"]
  assert [(r["action"], r.get("onJobFailureMessagePatterns")) for r in rules] == [
    ("FailJobSet", ["exit code 2 "]),
    ("RestartJobSetAndIgnoreMaxRestarts", ["exit code 42 "]),
    ("RestartJobSet", None),
  ]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_kueue_can_hold_it(path):
  jobset = load(path)
  assert "kueue.x-k8s.io/queue-name" in jobset["metadata"]["labels"]
  assert "suspend" not in jobset["spec"]  # Kueue sets it; without Kueue the run would never start
  job = job_of(jobset)
  assert job["parallelism"] == job["completions"] and job["completionMode"] == "Indexed"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_command_is_one_of_ours(path):
  arguments = container_of(load(path))["args"]
  assert arguments[:2] == ["python", "-m"]
  assert (ROOT / f"{arguments[2].replace('.', '/')}.py").is_file()
  (config,) = (a.removeprefix("--config=") for a in arguments if a.startswith("--config="))
  assert (ROOT / config).is_file()


def test_gpu_processes_are_as_many_as_pods():
  jobset = load(ROOT / "launch/jobset_gpu.yaml")
  values = {v["name"]: v.get("value") for v in container_of(jobset)["env"]}
  assert int(values["PRETRAINJAX_NUM_PROCESSES"]) == job_of(jobset)["completions"]
  port = values["PRETRAINJAX_COORDINATOR_ADDRESS"].rpartition(":")[2]
  assert [p["containerPort"] for p in container_of(jobset)["ports"]] == [int(port)]
