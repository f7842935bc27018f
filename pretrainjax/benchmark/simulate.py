"""Reports of meshes; devices that are not here are simulated in another process."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

import jax
from ml_collections import ConfigDict

from pretrainjax.benchmark.mesh_report import MeshReport, report_mesh
from pretrainjax.config.allowed import ANYTHING
from pretrainjax.config.text import from_json, to_json
from pretrainjax.errors import UserError, one_line


def has_devices(num_devices: int) -> bool:
  """Whether this process has exactly this number of devices."""
  return jax.device_count() == num_devices


# Why a mesh has no report: a mistake of the user's, or a failure of ours.
Refusal = UserError | RuntimeError


def report_meshes(
  config: ConfigDict, meshes: Sequence[Mapping[str, int]], *, num_devices: int
) -> Iterator[MeshReport | Refusal]:
  """Yields the report of each mesh, or why there is none, as they are finished.

  Args:
    config: the config of a run.
    meshes: the lengths of each mesh's axes by name.
    num_devices: the number of devices of each mesh. Where this process has another number, one with
      so many simulated CPU devices compiles.
  """
  if has_devices(num_devices):
    yield from (_report(config, mesh) for mesh in meshes)
    return
  process = subprocess.Popen(
    [sys.executable, "-m", "pretrainjax.benchmark.simulate"],
    env=_environment(num_devices),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdin and process.stdout
  try:
    process.stdin.write(
      json.dumps({"config": to_json(config), "meshes": [dict(m) for m in meshes]})
    )
    process.stdin.close()
    for _ in meshes:
      line = process.stdout.readline()
      if not line:
        raise RuntimeError(f"the process that simulates devices ended with {process.wait()}")
      yield _from_line(line)
  finally:
    process.kill()
    process.wait()


def _report(config: ConfigDict, mesh: Mapping[str, int]) -> MeshReport | Refusal:
  try:
    return report_mesh(config, mesh)
  except UserError as error:
    return error
  except Exception as error:  # the other meshes may do
    return RuntimeError(f"{type(error).__name__}: {one_line(error)[:300]}")


def _environment(num_devices: int) -> dict[str, str]:
  """The environment of a process with so many devices, which compiles with little optimisation."""
  flags = [f for f in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in f]
  flags += [
    f"--xla_force_host_platform_device_count={num_devices}",
    "--xla_backend_optimization_level=0",
  ]
  # Many devices on few cores wait for each other without the threads of NPROC.
  return os.environ | {"XLA_FLAGS": " ".join(flags), "NPROC": "16", "JAX_PLATFORMS": "cpu"}


def _from_line(line: str) -> MeshReport | Refusal:
  answer = json.loads(line)
  if "refused" in answer:
    return UserError(answer["refused"])
  return RuntimeError(answer["failed"]) if "failed" in answer else MeshReport(**answer)


def _serve() -> None:
  """Answers the one request on standard input, a line a mesh."""
  request = json.loads(sys.stdin.read())
  config = from_json(request["config"], allow=ANYTHING)
  for mesh in request["meshes"]:
    found = _report(config, mesh)
    if isinstance(found, MeshReport):
      answer = dataclasses.asdict(found)
    else:
      answer = {"refused" if isinstance(found, UserError) else "failed": str(found)}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
  _serve()
